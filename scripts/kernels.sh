# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Debian's kernels in the cache: images, modules and headers, downloaded and unpacked, never installed. Sourced by bash
# after lib.sh, with `cache` set; nothing runs on sourcing.
# shellcheck disable=SC2034,SC2154
:

# Sets problem and returns 1: what apt does not offer is no failure of ours.
not_offered() { problem=$1; return 1; }

# depends_on PACKAGE PATTERN: the first package it depends on whose name the pattern matches.
depends_on() { apt-cache depends "$1" 2>/dev/null | sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1; }

# candidate PACKAGE: the version that apt would install; nothing when there is none.
candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([^(].*\)$/\1/p'; }

# unpack FOLDER PACKAGE...: into $cache/guest/FOLDER, which is there only when it is whole. Debian keeps the packages of
# the kernel line that is not this release's own in the same lists, so one way serves both.
unpack() {
    local folder=$cache/guest/$1 package
    shift
    [ ! -d "$folder" ] || return 0
    mkdir -p "$cache/guest" && rm -rf "$folder.new" && mkdir "$folder.new" || die "cache: $folder: cannot be written"
    say "downloading $*"
    (cd "$folder.new" && apt-get -q -o APT::Sandbox::User=root download "$@" >&2) ||
        not_offered "apt-get download of $* failed" || return
    for package in "$folder.new"/*.deb; do
        dpkg -x "$package" "$folder.new" && rm "$package" || die "$package: cannot be unpacked"
    done
    mv "$folder.new" "$folder"
}

# find_kernel LINE (6.1, 6.12): sets release, kernel (the image) and module_root (/ of its modules); or problem.
find_kernel() {
    local line=$1 meta=linux-image-$1-amd64 package version
    # The release's own line has no number in its name.
    [ -n "$(candidate "$meta")" ] || meta=linux-image-amd64
    have_lists || not_offered "apt has no lists (apt-get update)" || return
    package=$(depends_on "$meta" "linux-image-${line//./\\.}\\.[0-9].*-amd64")
    version=$(candidate "${package:-none}")
    [ -n "$version" ] || not_offered "apt offers no kernel $line" || return
    release=${package#linux-image-}
    unpack "image-$release-$version" "$package" || return
    module_root=$cache/guest/image-$release-$version
    kernel=$module_root/boot/vmlinuz-$release
    [ -f "$module_root/lib/modules/$release/modules.dep.bin" ] || PATH=$PATH:/sbin:/usr/sbin depmod -b "$module_root" "$release" ||
        die "depmod $release failed"
}

# find_headers, after find_kernel: sets headers, the folder to build modules in; or problem.
find_headers() {
    local package=linux-headers-$release common kbuild version root_of
    version=$(candidate "$package")
    [ -n "$version" ] || not_offered "apt offers no headers of $release" || return
    common=$(apt-cache depends "$package" | sed -n 's/^ *Depends: \(linux-headers-.*-common\)$/\1/p' | head -n 1)
    kbuild=$(depends_on "$package" 'linux-kbuild-.*')
    root_of=$cache/guest/headers-$release-$version
    unpack "headers-$release-$version" "$package" "$common" "$kbuild" || return
    headers=$root_of/usr/src/$package
    # Its makefile names the folder where the package would be installed; so do its links.
    if ! grep -qF "include $root_of" "$headers/Makefile"; then
        sed -i "s#include /usr/src#include $root_of/usr/src#" "$headers/Makefile"
        rm -rf "$headers/scripts" "$headers/tools"
        ln -s "$root_of/usr/lib/$kbuild/scripts" "$headers/scripts"
        ln -s "$root_of/usr/lib/$kbuild/tools" "$headers/tools"
    fi
}

# Sets kernel_types to the BTF of the kernel that find_kernel found: the kernel itself gives it out. Or problem.
find_kernel_types() {
    kernel_types=$module_root/btf
    [ -s "$kernel_types" ] || {
        "$root/scripts/guest" -k "$1" -o "$kernel_types.new" -- cp /sys/kernel/btf/vmlinux /out/ &&
            mv "$kernel_types.new/vmlinux" "$kernel_types" && rmdir "$kernel_types.new"
    } || not_offered "kernel $release shows no BTF"
}

# build_module LINE SOURCE NAME OUT: NAME.ko of a folder of sources, with BTF, as OUT; or problem and build.log in OUT's
# folder. Debian's headers of 6.1 lack the kernel's types and the tool that numbers what a module refers to; the
# types come from the kernel, the tool is that of 6.12.
build_module() {
    local line=$1 source=$2 name=$3 out=$4 tree=${4%/*}/build-$3-$1 resolve
    find_kernel "$line" && find_headers || return
    rm -rf "$tree" && cp -r "$source" "$tree" || die "$tree: cannot be written"
    make -C "$headers" M="$tree" modules >"${out%/*}/build.log" 2>&1 || die "module $name: make failed, see ${out%/*}/build.log"
    if [ ! -e "$headers/vmlinux" ]; then
        find_kernel_types "$line" || return
        local types=$kernel_types
        find_kernel 6.12 && find_headers || return
        resolve=$headers/tools/bpf/resolve_btfids/resolve_btfids
        [ -x "$resolve" ] || not_offered "the headers of 6.12 have no resolve_btfids" || return
        pahole -J --btf_gen_floats -j --lang_exclude=rust --btf_base "$types" "$tree/$name.ko" &&
            "$resolve" -b "$types" "$tree/$name.ko" || die "module $name: BTF cannot be made"
        find_kernel "$line"
    fi
    strip -g -o "$out" "$tree/$name.ko" # after BTF, which is made of debug information
    rm -rf "$tree"
}
