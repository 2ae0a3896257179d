#!/usr/bin/env bash
# Part of dfx, run inside the environment: tidy.sh CLANG-TIDY [FILES …]: clang-tidy as .clang-tidy says on the native
# sources, or on those given, with the flags that CMake compiles them with.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
tidy=$1
shift
[ $# -gt 0 ] || set -- dfx_homog/native/*.cpp
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
if ! cmake -G Ninja -S . -B "$build" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DPython_EXECUTABLE="$(command -v python)" \
    >"$build/log" 2>&1; then
    cat "$build/log" >&2
    exit 1
fi
# The analyzer's deep mode takes three times as long, all of it on Eigen's templates, and finds what is in those only.
options=(--quiet -p "$build")
for word in -Xclang -analyzer-config -Xclang mode=shallow -Wno-unknown-warning-option; do options+=(--extra-arg="$word"); done
# all files, though one has findings
printf '%s\n' "$@" | xargs -P "$(env -u OMP_NUM_THREADS nproc)" -n 1 "$tidy" "${options[@]}" 2>"$build/noise"
status=$?
grep -vE '^[0-9]+ warnings?( and [0-9]+ errors?)? generated|^Suppressed |^Use -header-filter' "$build/noise" >&2
exit $status
