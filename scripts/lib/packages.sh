# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Debian packages that a script needs. Sourced by common.sh.

# need_packages PACKAGE[:COMMAND-OR-FILE]...: installs what is missing, after
# listing it. With PVA_NO_INSTALL set it only lists, and exits 4.
need_packages() {
	local item probe missing=() as_root=()
	for item; do
		probe=${item#*:}
		case $probe in
		/*) [ -e "$probe" ] || missing+=("${item%%:*}") ;;
		*) command -v "$probe" >/dev/null || missing+=("${item%%:*}") ;;
		esac
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	note "missing Debian packages: ${missing[*]}"
	[ -z "${PVA_NO_INSTALL:-}" ] ||
		die 4 "not installed, as --no-install says; to do it: apt-get install ${missing[*]}"
	command -v apt-get >/dev/null ||
		die 4 "no apt-get on this machine: install the equivalent of ${missing[*]}"
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null ||
			die 3 "neither root nor sudo: have somebody run apt-get install ${missing[*]}"
		as_root=(sudo)
	fi
	stage "installing ${#missing[@]} packages"
	run_logged "$PVA_CACHE/log/apt-update" "apt-get update" "${as_root[@]}" apt-get -q update || true
	run_logged "$PVA_CACHE/log/apt-install" "apt-get install" "${as_root[@]}" \
		env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y --no-install-recommends install "${missing[@]}" ||
		die 3 "apt-get install ${missing[*]} failed: see $PVA_CACHE/log/apt-install"
}

need_build_packages() {
	need_packages git gcc:gcc g++:g++ make flex bison bc rsync jq xz-utils:xz cpio \
		libelf-dev:/usr/include/libelf.h libssl-dev:/usr/include/openssl/ssl.h \
		libc6-dev:/usr/include/stdio.h pkg-config:pkg-config \
		libgtest-dev:/usr/include/gtest/gtest.h liburing-dev:/usr/include/liburing.h \
		util-linux:setpriv
}

need_guest_packages() {
	need_packages qemu-system-x86:qemu-system-x86_64 busybox-static:/bin/busybox cpio jq
}
