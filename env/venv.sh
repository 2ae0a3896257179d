# Part of dfx: a Python that has DOLFINx, and the virtual environment that holds this package beside it.

# The machine's own DOLFINx, if it is suitable. Sets key and python.
python=/usr/bin/python3 # that of the root, otherwise
find_own_dolfinx() {
    local wanted=${DFX_PYTHON:-} answer found
    [ "$wanted" != none ] || return 1
    [ -n "$wanted" ] || [ -z "${DFX_SUITE:-}" ] || return 1
    found=$(command -v "${wanted:-python3}") || { [ -z "$wanted" ] && return 1; die 2 "DFX_PYTHON: there is no $wanted"; }
    if answer=$("$found" "$checkout/env/probe.py" 2>&1); then
        python=$found
        key=own-$(printf '%s' "$python $answer" | sha256sum | cut -c1-12)
        return 0
    fi
    [ -z "$wanted" ] || die 2 "DFX_PYTHON=$wanted cannot be used: $(tail -n 1 <<<"$answer")"
    # Plain absence is the normal case and not worth a line.
    case $answer in *'no DOLFINx'* | *SyntaxError*) ;; *) say "the DOLFINx of $found is not used: $(tail -n 1 <<<"$answer")" ;; esac
    return 1
}

# Everything that the installed files depend on. Python files are not in it: the installation is editable.
build_hash() {
    cd "$checkout" && sha256sum CMakeLists.txt pyproject.toml env/pypi.txt dfx_homog/native/* | sha256sum | cut -c1-12
}

# A virtual environment is never changed once it is finished: a new build of the native part makes a new one,
# and runs that use the old one are not disturbed. Runs hold a shared lock on theirs (hold_venv).
need_venv() {
    local place
    place=$(printf '%s' "$checkout" | sha256sum | cut -c1-8)
    venv_family=$cache/venv/$key-$place
    venv=$venv_family-$(build_hash)
    mkdir -p "$cache/venv" "$jit_cache"
    exec {venv_lock}>"$venv.lock"
    if ! [ -e "$venv/finished" ]; then
        if ! flock -n "$venv_lock"; then
            say "another dfx is installing this package; waiting for it"
            flock "$venv_lock"
        fi
        [ -e "$venv/finished" ] || make_venv
    fi
    flock -s "$venv_lock"
    # gone again: a call with newer sources came between
    [ -e "$venv/finished" ] || need_venv
}

make_venv() {
    local start=$SECONDS log=$venv.log network=(--no-deps)
    local build=$cache/build/${venv_family##*/} native=$cache/native/$key-${venv##*-} build_lock
    say "installing dfx_homog"
    # The machine's own Python may lack some small packages, which then come from PyPI.
    [ $lane = root ] || network=()
    mkdir -p "$build" "$cache/native"
    exec {build_lock}>"$build.lock"
    flock "$build_lock"
    rm -rf "$venv"
    if ! install_package 3>&2 >"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        rm -rf "$venv" "$build"
        die 1 "the package could not be installed (above, and in $log)"
    fi
    echo "$checkout" >"$venv/checkout"
    touch "$venv/finished"
    exec {build_lock}>&-
    say "installed after $((SECONDS - start)) s"
    remove_old_venvs
}

# The native part is compiled once for all checkouts with the same sources, and object files are kept, so that after
# a change of one source only that one is compiled again.
install_package() {
    local settings=(--config-settings=build-dir="$build") module
    enter_plain "$python" -m venv --system-site-packages --without-pip "$venv" || return
    if [ $lane = own ]; then
        enter_plain "$venv/bin/python" -m pip install 'scikit-build-core>=0.10' 'nanobind>=2' || return
    fi
    if [ $lane = root ]; then
        # Only BPX files need it: without a network everything else shall still run.
        enter_plain "$venv/bin/python" -m pip install --no-deps --retries 1 --timeout 20 --requirement "$checkout/env/pypi.txt" \
            || say "no BPX files for now: the packages of env/pypi.txt could not be had from PyPI" 2>&3
    fi
    for module in "$native"/_native.*; do
        settings=(--config-settings=cmake.define.DFX_HOMOG_NATIVE="$module")
    done
    enter_plain "$venv/bin/python" -m pip install --no-build-isolation "${network[@]}" "${settings[@]}" --editable "$checkout" \
        || return
    [ -d "$native" ] || { mkdir "$native.$$" && cp "$venv"/lib/python*/site-packages/dfx_homog/_native.* "$native.$$" \
        && mv -T "$native.$$" "$native"; } || rm -rf "$native.$$"
    find "$cache/native" -mindepth 1 -maxdepth 1 -mtime +60 -exec rm -r {} +
}

# Earlier builds for this checkout and environment, and those of checkouts that have gone, unless a run still uses them.
remove_old_venvs() {
    local old lock
    for old in "$cache"/venv/*/; do
        old=${old%/}
        [ "$old" != "$venv" ] || continue
        [ "${old%-*}" = "$venv_family" ] || ! [ -d "$(cat "$old/checkout" 2>/dev/null)" ] || continue
        exec {lock}>"$old.lock"
        if flock -n "$lock"; then
            rm -rf "$old" "$old.log" "$old.lock"
            [ "${old%-*}" = "$venv_family" ] || rm -rf "$cache/build/$(basename "${old%-*}")"{,.lock}
        fi
        exec {lock}>&-
    done
}
