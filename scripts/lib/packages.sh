# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Debian packages that a script needs, and apt-get for one suite. Sourced by common.sh.
#
# PVA_MIRROR  URL of the debian directory of a mirror (http://HOST/debian) to use
#             instead of the one that apt has; debian-security has to be beside it

# need_packages PACKAGE[:COMMAND-OR-FILE]...: installs what is missing, after
# listing it. With PVA_NO_INSTALL set it only lists, and exits 4.
need_packages() {
	local missing=() as_root=()
	mapfile -t missing < <(packages_missing "$@")
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
	mapfile -t missing < <(packages_missing "$@")
	[ ${#missing[@]} -eq 0 ] || die 3 "installed, but does not bring what is needed: ${missing[*]}"
}

# packages_missing PACKAGE[:COMMAND-OR-FILE]...: those without that command or file.
packages_missing() {
	local item probe
	for item; do
		probe=${item#*:}
		case $probe in
		/*) [ -e "$probe" ] || printf '%s\n' "${item%%:*}" ;;
		*) command -v "$probe" >/dev/null || printf '%s\n' "${item%%:*}" ;;
		esac
	done
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

# suite_line SUITE: the line for apt's sources.list: the machine's own entry
# for that suite, or the mirror that the machine uses for its main one (or
# PVA_MIRROR).
suite_line() {
	local suite=$1 format line site keyring
	# shellcheck disable=SC2016 # apt-get replaces these
	format='$(CODENAME) $(REPO_URI) $(SIGNED_BY)'
	line=$(apt-get indextargets --format "$format" 'Created-By: Packages' 'Component: main' 'Origin: Debian')
	read -r _ site keyring < <(grep -E "^$suite " <<<"$line" || true) || true
	if [ -z "$site" ] || [ -n "${PVA_MIRROR-}" ]; then
		[ -n "$site" ] || read -r _ site keyring < <(grep -vE '^[a-z]+-security ' <<<"$line" || true) || true
		site=${PVA_MIRROR:-$site}
		case $suite in
		*-security) site=$(security_site "$site") ;;
		esac
	fi
	[ -n "$site" ] || die 3 "apt on this machine names no Debian mirror: set PVA_MIRROR=URL"
	[ -r "$keyring" ] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$keyring" ] || die 3 "$keyring is missing: apt-get install debian-archive-keyring"
	printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$site" "$suite"
}

# security_site URL: where the -security suites are, beside the debian directory URL
# (which may have a date after it, as at snapshot.debian.org).
security_site() {
	local site=${1%/}/
	case $site in
	/ | */debian-security/*) ;;
	*/debian/*) site=${site%/debian/*}/debian-security/${site##*/debian/} ;;
	*) site+=debian-security/ ;;
	esac
	printf '%s\n' "${site#/}"
}

# private_apt SUITE COMMAND...: apt-get with configuration, lists and archives of
# its own, so that nothing of the system's is changed. Signatures are checked.
private_apt() {
	local suite=$1 dir=$PVA_CACHE/apt/$1
	shift
	mkdir -p "$dir/lists/partial" "$dir/archives/partial" &&
		suite_line "$suite" >"$dir/sources.list.new" &&
		mv "$dir/sources.list.new" "$dir/sources.list" &&
		apt-get -q -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=- \
			-o Dir::Etc::Preferences=- -o Dir::Etc::PreferencesParts=- \
			-o Dir::State::Lists="$dir/lists" -o Dir::Cache::Archives="$dir/archives" \
			-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
			-o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 \
			-o APT::Update::Error-Mode=any "$@"
}
