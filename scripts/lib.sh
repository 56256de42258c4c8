# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What scripts/mimicsh and scripts/test share: packages, places, builds. Sourced by bash; nothing runs on sourcing.
# The callers set `root` (the tree), `yes` (1 after --yes) and `program` (for messages).
# shellcheck disable=SC2154
:

say() { printf '%s: %s\n' "$program" "$*" >&2; }
die() { say "$1"; exit "${2:-1}"; }

# -- Places --

# Sets home: HOME, else what the password database says; empty when there is none that can be written.
find_home() {
    home=${HOME:-}
    [ -n "$home" ] || home=$(getent passwd "$EUID" | cut -d: -f6)
    [ -w "$home" ] || home=
}

# Sets cache: a folder of this user, made when it is missing.
find_cache() {
    find_home
    if [ -n "${XDG_CACHE_HOME:-}" ]; then
        cache=$XDG_CACHE_HOME/mimicsh
    elif [ -n "$home" ]; then
        cache=$home/.cache/mimicsh
    else
        cache=${TMPDIR:-/tmp}/mimicsh-$EUID
    fi
    (umask 077 && mkdir -p "$cache") 2>/dev/null
    # In /tmp another user could have made it first.
    [ -O "$cache" ] && [ -w "$cache" ] || die "cache: $cache: cannot be written by this user (set XDG_CACHE_HOME)" 2
}

# Sets build: build/ for the owner of the tree, else a folder of the cache with the user's id and the tree's path.
find_build() {
    if [ -O "$root" ] && [ -w "$root" ]; then
        build=$root/build
    else
        find_cache
        build=$cache/build-$EUID${root//\//%}
    fi
}

# -- Packages --

# list_packages SET...: names, one a line.
list_packages() {
    local want name kind
    while read -r kind name _; do
        for want; do
            [ "$kind" = "$want" ] && echo "$name"
        done
    done <"$root/scripts/packages"
    return 0
}

# Sets missing to the packages of the sets that are not installed.
find_missing() {
    local names status name state
    mapfile -t names < <(list_packages "$@")
    status=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${names[@]}" 2>/dev/null)
    missing=()
    for name in "${names[@]}"; do
        state=$(grep -x "$name installed" <<<"$status")
        [ -n "$state" ] || missing+=("$name")
    done
}

have_lists() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }

# What apt says about size, asked without a lock and without root.
print_size() {
    if have_lists; then
        LC_ALL=C apt-get install --assume-no --no-install-recommends -o Debug::NoLocking=1 "${missing[@]}" \
            </dev/null 2>/dev/null | sed -n 's/^\(Need to get .*\|After this operation, .*used.*\)$/  \1/p' >&2
    else
        echo "  sizes are known after apt-get update; all of set run: below 200 MB to download, 650 MB on disk" >&2
    fi
}

apt_get() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

refuse() {
    say "$1; an administrator runs:"
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 2
}

# Decides how to become root and sets as_root; ends with 2 where it may not.
ask_leave() {
    local answer
    as_root=()
    if [ "$EUID" -eq 0 ]; then
        return
    elif [ "$yes" = 1 ] || [ "${CI:-}" = true ]; then
        sudo -n true 2>/dev/null || refuse "sudo asks for a password, or is not there"
        as_root=(sudo -n)
    elif [ -t 0 ] && [ -t 2 ]; then
        read -r -p "install them with sudo? [y/N] " answer
        [[ $answer == [yY]* ]] || refuse "nothing installed"
        as_root=(sudo)
    else
        refuse "packages are missing, and there is neither root, --yes nor a terminal to ask"
    fi
}

# need_packages SET...: installs what is missing of the sets.
need_packages() {
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        die "packages: this is not Debian: install the likes of: $(list_packages "$@" | xargs)" 2
    find_missing "$@"
    [ ${#missing[@]} -gt 0 ] || return 0
    say "packages to install: ${missing[*]}"
    print_size
    ask_leave
    if ! have_lists; then
        apt_get update || die "packages: apt-get update failed" 2
        print_size
    fi
    # Old lists name files that the mirror has no more: ask again once.
    apt_get install --no-install-recommends "${missing[@]}" ||
        { apt_get update && apt_get install --no-install-recommends "${missing[@]}"; } ||
        die "packages: apt-get install failed" 2
    find_missing "$@"
    [ ${#missing[@]} -eq 0 ] || die "packages: still missing: ${missing[*]}" 2
}

# -- Build --

# min(cores, GiB of memory / 1.5), at least 1: the larger sources take more than a GiB to compile.
build_jobs() {
    local cores kib by_memory
    cores=$(nproc)
    kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
    by_memory=$((kib * 2 / 3 / 1048576))
    ((by_memory < cores)) && cores=$by_memory
    echo $((cores < 1 ? 1 : cores))
}

# build_tree PRESET [TARGET...]: configures $build/PRESET where needed and builds; shows the log only when it fails,
# progress when standard error is a terminal.
build_tree() {
    local preset=$1 folder=$build/$1 log
    shift
    log=$folder/build.log
    mkdir -p "$folder" || die "build: $folder: cannot be made"
    # A tree that was moved or copied: CMake refuses its old cache.
    if [ -f "$folder/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt"; then
        rm -rf "$folder/CMakeCache.txt" "$folder/CMakeFiles" "$folder/build.ninja"
    fi
    if [ -z "${HOME:-}" ]; then
        find_cache
        export CCACHE_DIR="${CCACHE_DIR:-$cache/ccache}"
    fi
    # Trees of the same sources share what was compiled, wherever they are.
    export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
    # The compiler says itself what it read: a file that is not in the cache is not read twice.
    export CCACHE_DEPEND=1
    # ccache keeps what was compiled with precompiled headers only when told so.
    export CCACHE_SLOPPINESS=pch_defines,time_macros
    # What was compiled for one locale is not taken for another.
    local plain=(env -u LC_ALL -u LC_CTYPE -u LC_MESSAGES LANG=C.UTF-8)
    if [ ! -f "$folder/build.ninja" ] &&
        ! (cd "$root" && "${plain[@]}" cmake --preset "$preset" -B "$folder") >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        say "configure: $preset: failed, whole log in $log"
        return 1
    fi
    if [ -t 2 ]; then
        "${plain[@]}" ninja -C "$folder" -j "$(build_jobs)" "$@" >&2 && return
    else
        "${plain[@]}" ninja -C "$folder" -j "$(build_jobs)" "$@" >"$log" 2>&1 && return
        grep -v '^\[[0-9/]*\]' "$log" | head -n 60 >&2
    fi
    say "build: $preset: failed"
    return 1
}
