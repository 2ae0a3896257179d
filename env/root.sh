# Part of dfx: the Debian root folder. Made by mmdebstrap in the cache, never changed afterwards.

recipe=1 # part of the key: count up when this file makes a different root from the same list

# Sets key and root (the folder, existing or not).
root_key() {
    local suite=${DFX_SUITE:-trixie} sum
    case $suite in
        trixie | sid) ;;
        *) die 2 "DFX_SUITE is '$suite'; allowed: trixie (DOLFINx 0.9), sid (DOLFINx 0.11)" ;;
    esac
    sum=$({ echo "$recipe"; package_list; } | sha256sum)
    key=$suite-${sum:0:12}
    root=$cache/root/$key
}

package_list() { sed -n 's/^\([a-z0-9][^[:space:]]*\).*/\1/p' "$checkout/env/packages.txt"; }

need_root() {
    [ -d "$root" ] && return
    need_tools
    mkdir -p "$cache/root"
    exec {root_lock}>"$root.lock"
    if ! flock -n "$root_lock"; then
        say "another dfx is making this environment; waiting for it"
        until flock -w 30 "$root_lock"; do say "still waiting"; done
    fi
    [ -d "$root" ] || make_root
    exec {root_lock}>&-
}

# mmdebstrap and bubblewrap, installed if we may.
need_tools() {
    local missing=() also=()
    command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
    command -v bwrap >/dev/null || missing+=(bubblewrap)
    if [ "$(id -u)" != 0 ]; then
        command -v newuidmap >/dev/null || missing+=(uidmap)
    fi
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || also+=(debian-archive-keyring)
    if [ ${#missing[@]} != 0 ] || { [ ${#also[@]} != 0 ] && command -v apt-get >/dev/null; }; then
        install_tools "${missing[@]}" "${also[@]}"
    fi
    if [ "$(id -u)" != 0 ] && ! grep -qE "^($(id -un)|$(id -u)):" /etc/subuid 2>/dev/null; then
        die 1 "there is no entry for $(id -un) in /etc/subuid, which mmdebstrap needs when it is not root. As root:" \
            "  usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
    fi
}

install_tools() {
    if ! command -v apt-get >/dev/null; then
        die 1 "this machine has no DOLFINx and no apt-get. Install by its own means: $*" \
            "or use conda, Docker or Apptainer: docs/install.md"
    elif [ "$(id -u)" != 0 ]; then
        die 1 "this machine has no DOLFINx, and to make one some packages are missing. As root:" "  apt-get install $*"
    fi
    say "installing $*"
    local log=$cache/apt.log
    { DEBIAN_FRONTEND=noninteractive apt-get update \
        && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null \
        || { tail -n 20 "$log" >&2; die 1 "apt-get could not install $* (above, and in $log)"; }
}

# The host's own way to the network, for the apt of the new root.
host_apt_options() {
    command -v apt-config >/dev/null || return
    apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)(::[^ ]*)?(Proxy|Proxy-Auto-Detect|CAInfo|CaInfo|Verify-[^ ]*) '
}

# Runs a command in this process group until it ends or process $1 (dfx) has gone, killed outright perhaps. It keeps
# the lock meanwhile, so the next call waits until all of it has gone too.
watched='
dfx=$1
shift
"$@" &
while kill -0 $! 2>/dev/null; do
    kill -0 "$dfx" 2>/dev/null || kill -TERM -- -$$
    sleep 0.5
done
wait $!'

make_root() {
    local part=$root.part.$$ log=$root.log start=$SECONDS options pid status line shown='' next=15
    rm -rf --one-file-system "$root".part.* # of calls that were interrupted: we hold the lock
    mkdir -p "$part"
    options=$part.apt
    { echo 'Acquire::Retries "5";'
      # sid's Release file may have expired on a mirror that is a few days behind
      [ "${key%%-*}" = sid ] && echo 'Acquire::Check-Valid-Until "false";'
      host_apt_options; } >"$options"
    say "making the environment $key (Debian packages with DOLFINx, about 3 minutes, 3 GB) in $root"
    set -- --variant=minbase --include="$(package_list | paste -sd,)" --aptopt="$options" --skip=cleanup/reproducible \
        --dpkgopt=force-unsafe-io --dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/info/*' \
        --dpkgopt=path-exclude='/usr/share/locale/*' --dpkgopt=path-exclude='/usr/share/doc/*' \
        --dpkgopt=path-include='/usr/share/doc/*/copyright' \
        --customize-hook='cd "$1/etc" && touch hosts hostname resolv.conf passwd group' \
        --customize-hook='chroot "$1" dpkg-query -W -f "\${Version}" python3-dolfinx-real >"$1/etc/dfx-release"' \
        "${key%%-*}"
    # named, since without gpg mmdebstrap does not find it on Ubuntu; it holds the keys of a newer Debian too
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    [ -e $keyring ] && keyring="[signed-by=$keyring] " || keyring=''
    mirror="deb $keyring${DFX_MIRROR:-http://deb.debian.org/debian} ${key%%-*} main"
    if [ "$(id -u)" = 0 ]; then
        set -- mmdebstrap --mode=root --format=directory "$@" "$part" "$mirror"
    else
        # As a tar stream, so that every file belongs to the user, who can then remove it.
        set -- bash -o pipefail -c 'part=$1; shift; mmdebstrap "$@" | tar -x -C "$part" --exclude="./dev/*"' \
            make "$part" --mode=unshare --format=tar "$@" - "$mirror"
    fi
    setsid bash -c "$watched" watched $$ "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    trap 'interrupted_root 130' INT
    trap 'interrupted_root 143' TERM HUP
    while kill -0 $pid 2>/dev/null; do
        sleep 1
        line=$(grep '^I: ' "$log" | tail -n 1)
        if [ "$line" != "$shown" ] || [ $((SECONDS - start)) -ge $next ]; then
            say "$((SECONDS - start)) s  ${line#I: }"
            shown=$line next=$((SECONDS - start + 15))
        fi
    done
    wait $pid; status=$?
    trap - INT TERM HUP
    if [ $status != 0 ] || [ ! -s "$part/etc/dfx-release" ]; then
        grep -vE '^I: ' "$log" | tail -n 20 >&2
        rm -rf --one-file-system "$part" "$options"
        die 1 "mmdebstrap failed (above, and in $log)"
    fi
    rm -f "$options"
    mv "$part" "$root" || die 1 "cannot rename $part to $root"
    say "environment ready after $((SECONDS - start)) s"
}

# In make_root, with its variables.
interrupted_root() {
    trap '' INT TERM HUP
    say "interrupted; removing the incomplete environment"
    local tries=0
    kill -TERM -- -$pid 2>/dev/null
    # processes that still clean up would write into the folder
    while kill -0 -- -$pid 2>/dev/null; do
        [ $((tries += 1)) -lt 100 ] || kill -KILL -- -$pid 2>/dev/null
        sleep 0.2
    done
    rm -rf --one-file-system "$part" "$options"
    exit "$1"
}
