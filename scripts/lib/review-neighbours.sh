# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The row of scripts/review about neighbouring releases: to which other kernel
# sources that apt offers does the series apply? Needs review-rows.sh.
#
# Two kinds of source: Debian's linux-source-X.Y packages, and the untouched
# upstream tarball of Debian's source package linux. Only the directories that a
# patch touches are kept of them.

neighbour_dir=$REVIEW_CACHE/neighbours
neighbour_suites=(bookworm bookworm-security bookworm-backports trixie trixie-security trixie-backports
	forky sid)

# neighbour_apt TOOL SUITE ARGUMENT...: apt-get or apt-cache for one suite, its
# source packages too, with lists of its own.
neighbour_apt() {
	local tool=$1 suite=$2 dir=$PVA_CACHE/apt/neighbours-$2 line
	shift 2
	mkdir -p "$dir/lists/partial" "$dir/archives/partial" && line=$(suite_line "$suite") &&
		printf '%s\n%s\n' "$line" "${line/#deb /deb-src }" >"$dir/sources.list" &&
		"$tool" -q -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=- \
			-o Dir::Etc::Preferences=- -o Dir::Etc::PreferencesParts=- -o Dir::State::Lists="$dir/lists" \
			-o Dir::State::status=/dev/null \
			-o Dir::Cache::Archives="$dir/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
			-o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 \
			-o APT::Update::Error-Mode=any "$@"
}

# neighbour_offers SUITE: "KIND PACKAGE VERSION" of the kernel sources in it.
neighbour_offers() {
	local package
	neighbour_apt apt-get "$1" update >"$neighbour_dir/$1.log" 2>&1 || return
	for package in $(neighbour_apt apt-cache "$1" search --names-only '^linux-source-[0-9]+[.][0-9]+$' | cut -d' ' -f1); do
		neighbour_apt apt-cache "$1" madison "$package" | awk -F' *[|] *' -v package="$package" \
			'/Packages/ { print "package", package, $2 }'
	done
	neighbour_apt apt-cache "$1" showsrc --only-source linux 2>/dev/null |
		sed -n 's/^Version: /upstream linux /p'
}

# neighbour_list: "KIND PACKAGE VERSION SUITE" of what is from 6.12 to 7.3: of each
# kind and stable series (6.12, 6.16, ...) the newest.
neighbour_list() {
	local suite kind package version
	for suite in "${neighbour_suites[@]}"; do
		[ ! -s "$neighbour_dir/$suite.offers" ] || sed "s/\$/ $suite/" "$neighbour_dir/$suite.offers"
	done | while read -r kind package version suite; do
		if ! version_below "${version%%-*}" 6.12 && version_below "${version%%-*}" 7.4; then
			printf '%s %s %s %s %s\n' "$(neighbour_name "$kind" "$version")" "$kind" "$package" "$version" "$suite"
		fi
	done | sort -V -u -k1,1 | awk '{ split($4, part, /[.-]/); last[$2 " " part[1] "." part[2]] = $0 }
		END { for (series in last) print last[series] }' | sort -V | cut -d' ' -f2-
}

neighbour_name() {
	if [ "$1" = upstream ]; then
		printf 'upstream-%s\n' "${2%%-*}"
	else
		printf 'debian-%s\n' "$2"
	fi
}

# neighbour_directories: what is kept of a source: every touched directory of
# every base.
neighbour_directories() {
	local base
	for base in $(base_names); do
		sed -n 's|^diff --git a/\(.*\) b/.*|\1|p' /dev/null "$PVA_PATCHES/$base"/*.patch 2>/dev/null | xargs -r -d '\n' -n 1 dirname
	done | sort -u
}

# neighbour_fetch KIND PACKAGE VERSION SUITE DIR: the directories into DIR.
neighbour_fetch() {
	local kind=$1 what=$2=$3 suite=$4 dir=$5 download=$5.download keep=()
	rm -rf "$dir" "$download" && mkdir -p "$dir" "$download" || return
	mapfile -t keep < <(neighbour_directories | sed 's|^|*/|')
	if [ "$kind" = package ]; then
		(cd "$download" && neighbour_apt apt-get "$suite" download "$what" >&2) &&
			dpkg-deb --fsys-tarfile "$download"/*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz'
	else
		(cd "$download" && neighbour_apt apt-get "$suite" --download-only source "$what" >&2) &&
			cat "$download"/linux_*.orig.tar.xz
	fi | tar -xJ -C "$dir" --strip-components=1 --wildcards --no-wildcards-match-slash \
		"${keep[@]/%//*.[chr]*}" 2>"$dir.tar-log" || true
	rm -rf "$download"
	[ -e "$dir/mm/memory.c" ] && neighbour_directories >"$dir/.directories"
}

# neighbour_applies DIR: clean, offsets or rejected, and the first reason. git
# apply knows no fuzz. Who reads the answer may go on at once, so it comes last.
neighbour_applies() {
	local work patch offsets=0 answer=$'clean\t'
	work=$(mktemp -d "$REVIEW_WORK/neighbour.XXXXXX") && cp -r "$1/." "$work" && git -C "$work" init -q || return
	while read -r patch; do
		if ! git -C "$work" apply --verbose "$patch" >"$work.log" 2>&1; then
			answer=$(printf 'rejected\tpatch %s: %s' "$(basename "$patch" | cut -c1-4)" \
				"$(sed -n 's/^error: //p' "$work.log" | grep -v '^while searching' | head -n 1)")
			break
		fi
		offsets=$((offsets + $(grep -c 'offset' "$work.log" || true)))
		[ "$offsets" -eq 0 ] || answer=$(printf 'offsets\t%d hunks' "$offsets")
	done < <(base_patches "$REVIEW_BASE")
	rm -rf "$work" "$work.log"
	printf '%s\n' "$answer"
}

# neighbours_download: the index of every suite and every source in it.
neighbours_download() {
	local suite kind package version name
	mkdir -p "$neighbour_dir"
	for suite in "${neighbour_suites[@]}"; do
		stage "reading the index of $suite"
		neighbour_offers "$suite" >"$neighbour_dir/offers.new" || rm -f "$neighbour_dir/offers.new"
		[ ! -s "$neighbour_dir/offers.new" ] || mv "$neighbour_dir/offers.new" "$neighbour_dir/$suite.offers"
	done
	while read -r kind package version suite; do
		name=$(neighbour_name "$kind" "$version")
		if [ "$(cat "$neighbour_dir/$name/.directories" 2>/dev/null)" != "$(neighbour_directories)" ]; then
			need_space $((2 * 1048576)) "a kernel source"
			run_logged "$neighbour_dir/$name.log" "downloading $name" \
				neighbour_fetch "$kind" "$package" "$version" "$suite" "$neighbour_dir/$name" || true
		fi
	done < <(neighbour_list)
}

review_neighbours() {
	local kind package version suite name verdict reason table log release counts
	log=$(row_log neighbours)
	table=$log.table
	if ! compgen -G "$neighbour_dir/*.offers" >/dev/null; then
		row skip neighbours "nothing downloaded yet: scripts/review --neighbours does it"
		return
	fi
	release=$(base_field "$REVIEW_BASE" release)
	while read -r kind package version suite; do
		name=$(neighbour_name "$kind" "$version")
		verdict='not checked' reason="cannot be obtained from $suite"
		[ ! -e "$neighbour_dir/$name/.directories" ] ||
			IFS=$'\t' read -r verdict reason < <(neighbour_applies "$neighbour_dir/$name")
		printf '%s\t%s\t%s\n' "$name" "$verdict" "$reason"
		if [ "${version%%-*}" = "$release" ] && [ "$verdict" = rejected ]; then
			printf '%s is this base, but: %s\n' "$name" "$reason" >>"$log"
		fi
	done < <(neighbour_list) >"$table"
	for suite in "${neighbour_suites[@]}"; do
		[ -s "$neighbour_dir/$suite.offers" ] || printf '%s\tnot checked\tits index cannot be read, or has no kernel source in this range\n' "$suite"
	done >>"$table"
	{
		printf '\n## Neighbouring releases, series %s\n\n| source | applies | reason |\n| ------ | ------- | ------ |\n' "$REVIEW_BASE"
		sed 's/|/\\|/g; s/\t/ | /g; s/^/| /; s/$/ |/' "$table"
	} >>"$REVIEW_OUTPUT/size.md"
	counts=$(cut -f 2 "$table" | sort | uniq -c | awk '{ n = $1; $1 = ""; printf "%s%d%s", (NR > 1 ? ", " : ""), n, $0 }')
	row_if_empty "$log" neighbours "$counts" "$counts"
}
