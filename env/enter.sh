# Part of dfx: running a command in the environment, with its signals, locks and private folders.

# Folders of the machine that the root has its own versions of. All others are visible in it at the same path.
own_folders=' bin sbin lib lib32 lib64 libx32 usr etc proc sys dev boot lost+found '

# /dev/shm is private to each run (ranks of two runs would find each other's segments there). Inside a run it is its own.
check_paths() {
    local path
    [ -z "${DFX_INSIDE:-}" ] || return 0
    for path in "$PWD" "$@"; do
        case $path in
            /dev/shm | /dev/shm/*) die 2 "$path: /dev/shm is private to each run, results there would be lost; use another folder" ;;
        esac
    done
}

# Fills bwrap_args: the view from inside.
root_view() {
    local path name
    bwrap_args=(--unshare-pid --as-pid-1 --die-with-parent)
    for path in "$root"/*; do
        name=${path##*/}
        case $name in
            usr | etc) bwrap_args+=(--ro-bind "$path" "/$name") ;;
            *) [ -L "$path" ] && bwrap_args+=(--symlink "$(readlink "$path")" "/$name") ;;
        esac
    done
    for path in /*; do
        name=${path##*/}
        [[ $own_folders != *" $name "* ]] || continue
        if [ -L "$path" ]; then
            bwrap_args+=(--symlink "$(readlink "$path")" "$path")
        elif [ -d "$path" ] && [ -x "$path" ]; then
            bwrap_args+=(--bind "$path" "$path")
        fi
    done
    # TMPDIR lies in memory and vanishes with the run, however that ends.
    bwrap_args+=(--proc /proc --dev /dev --ro-bind /sys /sys --tmpfs /dev/shm --dir /dev/shm/tmp)
    for path in "$checkout" "$cache" "$HOME" "$PWD"; do
        name=${path#/}
        case " ${name%%/*} " in ' usr ' | ' etc ') bwrap_args+=(--bind "$path" "$path") ;; esac
    done
    for name in hosts hostname resolv.conf passwd group; do
        [ -f "/etc/$name" ] && bwrap_args+=(--ro-bind "$(readlink -f "/etc/$name")" "/etc/$name")
    done
    for path in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        [ -f "$path" ] || continue
        bwrap_args+=(--ro-bind "$(readlink -f "$path")" /etc/ssl/certs/ca-certificates.crt)
        break
    done
    bwrap_args+=(--chdir "$PWD")
}

# The environment variables of a run, exported: call it in a subshell only.
set_variables() {
    local name
    export DFX_INSIDE=$venv VIRTUAL_ENV=$venv OMP_NUM_THREADS=1
    export XDG_CACHE_HOME=$jit_cache XDG_CONFIG_HOME=$jit_cache/config
    export OMPI_MCA_btl=self,sm
    # Open MPI 5 reads the first two, Open MPI 6 the others
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export PYTHONNOUSERSITE=1
    if [ $lane = own ]; then
        export PATH=$venv/bin:$PATH
        return
    fi
    export PATH=$venv/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 TMPDIR=/dev/shm/tmp
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    # Names that mean something else, or nothing, inside: the host's Python, pip, loader, compilers and batch system.
    for name in $(compgen -e); do
        case $name in
            PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_TRUSTED_HOST | PIP_DEFAULT_TIMEOUT | SLURM_JOB_END_TIME) ;;
            PIP_* | SLURM_* | PMI_* | PMIX_* | CONDA_* | PYTHONPATH | PYTHONHOME | PYTHONSTARTUP | LD_* | LC_* | LANGUAGE \
                | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | CC | CXX | CFLAGS | CXXFLAGS | LDFLAGS | CPATH \
                | PKG_CONFIG_PATH | CMAKE_PREFIX_PATH | PETSC_DIR | PETSC_ARCH | SLEPC_DIR | BASH_ENV | ENV) unset "$name" ;;
        esac
    done
}

# A command without signal handling, for the set-up.
enter_plain() (
    set_variables
    if [ $lane = root ]; then root_view; exec bwrap "${bwrap_args[@]}" "$@"; else exec "$@"; fi
)

enter_shell() {
    hold_jit_cache
    set_variables
    export PS1="(dfx ${key:-}) \w\$ "
    if [ $lane = root ]; then root_view; exec bwrap "${bwrap_args[@]}" "$@"; else exec "$@"; fi
}

# A killed compilation leaves X.c without X.c.cached in the cache of compiled forms, and every later run would wait
# for it in vain. Runs hold the lock shared; alone we remove all leftovers, else only those that must be old.
hold_jit_cache() {
    local age=(-mmin +30) file
    [ $lane != inside ] || return 0
    mkdir -p "$jit_cache/fenics" "$jit_cache/config/dolfinx"
    # A second run waits for forms that a first one compiles; DOLFINx's own limit of 10 s is too short for that.
    [ -e "$jit_cache/config/dolfinx/dolfinx_jit_options.json" ] \
        || echo '{"timeout": 180}' >"$jit_cache/config/dolfinx/dolfinx_jit_options.json"
    exec {jit_lock}>"$jit_cache/lock"
    flock -n "$jit_lock" && age=()
    while IFS= read -r file; do
        [ -e "$file.cached" ] || rm -f "$file" "${file%.c}".*o "$file".*
    done < <(find "$jit_cache/fenics" -maxdepth 1 -name '*.c' "${age[@]}")
    flock -s "$jit_lock"
}

# In the root this is process 1, for which unhandled signals do not count; so it passes them on to the command.
init='
trap "kill -USR1 \$pid 2>/dev/null; again=1" USR1
trap "kill -INT \$pid 2>/dev/null; again=1" INT
trap "kill -TERM \$pid 2>/dev/null; again=1" TERM
env --default-signal "$@" <&0 &
pid=$! again=
while :; do
    wait $pid; status=$?
    [ -n "$again" ] || exit $status
    again=
done'

# Runs the command and returns its status. SIGTERM becomes SIGUSR1, on which the program writes a checkpoint and ends
# with status 75, and which mpirun passes on to its ranks; a second SIGTERM is passed on as it is.
enter() {
    local pid status again='' terms=0 info
    hold_jit_cache
    info=$(mktemp "$cache/info.XXXXXX" 2>/dev/null || mktemp)
    exec {info_fd}<>"$info"
    rm -f "$info"
    trap 'again=1; forward USR1' USR1
    trap 'again=1; forward INT' INT
    trap 'again=1; terms=$((terms + 1)); if [ $terms = 1 ]; then forward USR1; else forward TERM; fi' TERM
    if [ $lane = root ]; then
        # In a session of its own: a signal to our process group must not reach bubblewrap itself, which dies of it.
        (
            trap '' USR1 INT TERM HUP
            set_variables
            root_view
            exec setsid bwrap "${bwrap_args[@]}" --info-fd "$info_fd" env --default-signal bash -c "$init" dfx-init "$@"
        ) <&0 &
    else
        (
            set_variables
            exec setpriv --pdeathsig TERM env --default-signal "$@"
        ) <&0 &
    fi
    pid=$!
    while :; do
        wait $pid; status=$?
        [ -n "$again" ] || break
        again=
    done
    exit $status
}

# The command's process: in the root, that of the init, as the host numbers it (bubblewrap tells on --info-fd).
forward() {
    local target=$pid tries=0
    if [ $lane = root ]; then
        while ! target=$(sed -n 's/.*"child-pid": *\([0-9]*\).*/\1/p' "/proc/$$/fd/$info_fd") || [ -z "$target" ]; do
            [ $((tries += 1)) -le 50 ] && kill -0 "$pid" 2>/dev/null || return
            sleep 0.1
        done
    fi
    kill -s "$1" "$target" 2>/dev/null
}
