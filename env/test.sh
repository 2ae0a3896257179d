#!/usr/bin/env bash
# Part of dfx, run inside the environment: ./dfx test [ARGS …].
# Without ARGS: ruff, mypy, clang-tidy, then all tests. With ARGS: only pytest, with them. Every stage has a time limit.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

limit=1500 # seconds for one stage; the whole suite takes a fraction of it
failed=()
summary=()
others=$(mktemp -d)
trap 'rm -rf "$others"' EXIT
child=''
trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null; wait; echo "interrupted"; exit 130' INT TERM USR1

# stage NAME COMMAND …
stage() {
    local name=$1 start=$EPOCHREALTIME status seconds
    shift
    printf '\n== %s\n' "$name"
    timeout --kill-after=20 "$limit" "$@" &
    child=$!
    wait $child; status=$?
    seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    case $status in
        0) summary+=("passed  $name  ($seconds s)") ;;
        124 | 137) summary+=("FAILED  $name: ended after the time limit of $limit s"); failed+=("$name") ;;
        *) summary+=("FAILED  $name: status $status  ($seconds s)"); failed+=("$name") ;;
    esac
    return $status
}

# ruff, mypy and clang-tidy, pinned in pyproject.toml, in a folder of their own: the package does not need them.
find_lint() {
    local pins place
    mapfile -t pins < <(sed -n 's/^lint = \[\(.*\)\]/\1/p' pyproject.toml | grep -o '"[^"]*"' | tr -d '"')
    place=$XDG_CACHE_HOME/lint-$(IFS=+; echo "${pins[*]}")
    lint=$place/bin
    [ -e "$place/finished" ] && return
    printf 'installing %s\n' "${pins[*]}"
    (
        exec 9>"$place.lock"
        flock 9
        [ -e "$place/finished" ] && exit
        rm -rf "$place"
        python3 -m venv --without-pip "$place" \
            && python3 -m pip --python "$place/bin/python" install --quiet "${pins[@]}" && touch "$place/finished"
    )
}

run_lint() {
    if find_lint; then
        stage 'ruff check' "$lint/ruff" check .
        stage 'ruff format' "$lint/ruff" format --check --quiet .
        stage 'mypy' "$lint/mypy" --python-executable "$(command -v python)" --cache-dir "$XDG_CACHE_HOME/mypy"
        stage 'clang-tidy' bash env/tidy.sh "$lint/clang-tidy"
    elif [ "${CI:-}" = true ]; then
        summary+=('FAILED  ruff, mypy and clang-tidy could not be installed from PyPI')
        failed+=(lint)
    else
        summary+=('skipped ruff, mypy and clang-tidy: they could not be installed from PyPI')
    fi
}

# The user's -m is joined with that of the stage.
marker='' args=()
while [ $# -gt 0 ]; do
    case $1 in
        -m) marker=${2:-}; shift ;;
        -m?*) marker=${1#-m} ;;
        *) args+=("$1") ;;
    esac
    shift
done
[ -n "$marker" ] || [ ${#args[@]} -gt 0 ] || run_lint

# Rank 0 prints; what the others print is shown when the stage fails.
quiet='
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-0}}}
[ "$rank" = 0 ] || exec >"$DFX_TEST_OTHERS/rank-$rank" 2>&1
python -m pytest "$@" | cat # mpirun gives a terminal, on which pytest draws
exit ${PIPESTATUS[0]}'

parallel() {
    local ranks=$1 mark=$2 file
    rm -rf "${others:?}"/*
    DFX_TEST_OTHERS=$others stage "pytest, $ranks ranks" bash env/mpirun.sh "$ranks" \
        bash -c "$quiet" pytest "${args[@]}" -p no:cacheprovider -m "${marker:+($marker) and }$mark" && return
    for file in "$others"/*; do
        printf -- '-- the end of what %s printed\n' "${file##*/}"
        tail -n 60 "$file"
    done
}

# All tests on one rank: as many processes as cores (at most 4), which share the test files out among themselves.
shared='
count=$1
shift
for ((i = 1; i < count; ++i)); do
    python -m pytest -p shared_out "$@" >"$DFX_TEST_OTHERS/process-$i" 2>&1 &
    processes[i]=$!
done
python -m pytest -p shared_out "$@"; worst=$?
for ((i = 1; i < count; ++i)); do
    wait "${processes[i]}"; status=$?
    printf -- "-- process %s\n" "$((i + 1))"
    cat "$DFX_TEST_OTHERS/process-$i"
    [ $status -le $worst ] || worst=$status
done
exit $worst'

processes=$(env -u OMP_NUM_THREADS nproc) # which counts as many as that variable says
[ "$processes" -le 4 ] || processes=4
if [ -n "$marker" ] || [ ${#args[@]} -gt 0 ]; then processes=1; fi
mkdir "$others/claims"
if [ "$processes" = 1 ]; then
    stage 'pytest, serial' python -m pytest "${args[@]}" ${marker:+-m "$marker"}
else
    DFX_TEST_OTHERS=$others DFX_TEST_CLAIMS=$others/claims PYTHONPATH=tests${PYTHONPATH:+:$PYTHONPATH} \
        stage "pytest, serial, $processes processes" bash -c "$shared" pytest "$processes" -p no:cacheprovider
fi
parallel 2 mpi
parallel 3 mpi3

printf '\n'
printf '%s\n' "${summary[@]}"
[ ${#failed[@]} = 0 ]
