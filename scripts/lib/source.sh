# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Kernel source: from a Debian package (or the user's own tree) into a bare git
# repository in the cache, and the series on top of it. Needs common.sh.
#
# PVA_TREE     the user's own kernel tree (scripts/run --tree), else empty

PVA_GIT=$PVA_CACHE/linux.git
PVA_PATCHES=$PVA_TOP/patches
PVA_TREE=${PVA_TREE:-}

git_cache() {
	git -C "$PVA_GIT" "$@"
}

# The same input has to give the same commit, whoever makes it and when.
git_fixed() {
	env GIT_AUTHOR_NAME=per-vma-anon GIT_AUTHOR_EMAIL=per-vma-anon@localhost \
		GIT_COMMITTER_NAME=per-vma-anon GIT_COMMITTER_EMAIL=per-vma-anon@localhost \
		GIT_AUTHOR_DATE='@0 +0000' GIT_COMMITTER_DATE='@0 +0000' git "$@"
}

# base_names: the bases that this repository has patches for, newest first.
base_names() {
	local file
	for file in "$PVA_PATCHES"/*/base; do
		[ ! -e "$file" ] || basename "$(dirname "$file")"
	done | sort -Vr
}

# base_field BASE KEY: a value of patches/BASE/base.
base_field() {
	local file=$PVA_PATCHES/$1/base value
	[ -r "$file" ] ||
		die 2 "unknown base '$1': there is $(base_names | paste -sd' ')"
	value=$(sed -n "s/^$2=//p" "$file")
	[ -n "$value" ] || die 2 "$file has no line '$2=...'"
	printf '%s\n' "$value"
}

# costs_more BASE: the kinds of fault that patches/BASE/base admits to cost more
# instructions, separated by spaces.
costs_more() {
	sed -n 's/^more_instructions=\([^:]*\):.*/\1/p' "$PVA_PATCHES/$1/base" 2>/dev/null || true
}

# base_patches BASE: the files of the series, in order.
base_patches() {
	local file
	for file in "$PVA_PATCHES/$1"/*.patch; do
		[ ! -e "$file" ] || printf '%s\n' "$file"
	done
}

# base_patch_names BASE: the same without their folder.
base_patch_names() {
	local file
	while IFS= read -r file; do
		printf '%s\n' "${file##*/}"
	done < <(base_patches "$1")
}

# package_file BASE: the pinned package, downloaded once and checked.
package_file() {
	local base=$1 name version suite sha256 dir file
	name=$(base_field "$base" package)
	version=$(base_field "$base" version)
	suite=$(base_field "$base" suite)
	sha256=$(base_field "$base" sha256)
	dir=$PVA_CACHE/package
	file=$dir/${name}_${version}.deb
	mkdir -p "$dir"
	if [ ! -e "$file" ]; then
		stage "downloading $name $version ($suite)"
		need_packages apt:apt-get debian-archive-keyring:/usr/share/keyrings/debian-archive-keyring.gpg
		run_logged "$PVA_CACHE/log/apt-$base-update" "reading the index of $suite" \
			private_apt "$suite" update ||
			die 3 "cannot read the package index of $suite: check the network" \
				"${PVA_MIRROR:+and PVA_MIRROR=$PVA_MIRROR }and run again"
		run_logged "$PVA_CACHE/log/apt-$base-download" "downloading $name" \
			package_download "$suite" "$name=$version" "$file" ||
			die 3 "cannot download $name=$version from $suite: run again to go on with it"
	fi
	if ! sha256sum --status -c <<<"$sha256  $file"; then
		mv "$file" "$file.bad"
		die 3 "wrong SHA-256 for $name $version: expected $sha256, got" \
			"$(sha256sum <"$file.bad" | cut -d' ' -f1); set aside as $file.bad and not used"
	fi
	printf '%s\n' "$file"
}

# An interrupted download stays in archives/partial and is gone on with.
package_download() {
	local suite=$1 what=$2 file=$3 dir
	dir=$PVA_CACHE/apt/$suite
	(cd "$dir" && rm -f ./*.deb && private_apt "$suite" download "$what" && mv ./*.deb "$file")
}

# source_commit BASE: the commit in the cache's repository that is the base's
# untouched source (or, with PVA_TREE, the user's own).
source_commit() {
	local base=$1 ref file
	[ -z "$PVA_TREE" ] || {
		[ -n "${PVA_TREE_COMMIT-}" ] || tree_commit "$PVA_TREE" || exit
		printf '%s' "${PVA_TREE_COMMIT:+$PVA_TREE_COMMIT
}"
		return
	}
	ref=refs/bases/$(base_field "$base" sha256)
	if ! git_cache rev-parse -q --verify "$ref^{commit}" 2>/dev/null; then
		need_space $((6 * 1048576)) "the source of Linux $(base_field "$base" release)"
		file=$(package_file "$base")
		repository_init
		stage "importing $(basename "$file") into git"
		run_logged "$PVA_CACHE/log/import-$base" "unpacking and importing" \
			package_import "$file" "$ref" || die 3 "cannot import $file"
		git_cache rev-parse --verify "$ref^{commit}"
	fi
}

# source_prepare BASE: the same without printing, so that whoever interrupts it
# is heard at once. The user's own tree is looked at only here: it may change later.
source_prepare() {
	if [ -n "$PVA_TREE" ] && [ -z "${PVA_TREE_COMMIT-}" ]; then
		PVA_TREE_COMMIT=$(tree_commit "$PVA_TREE") || exit
		export PVA_TREE_COMMIT
	fi
	source_commit "$1" >/dev/null
}

repository_init() {
	[ -e "$PVA_GIT/complete" ] && return
	rm -rf "$PVA_GIT" "$PVA_CACHE"/{source,trees,apply}
	git init -q --bare "$PVA_GIT"
	git_cache config gc.auto 0
	git_cache config core.looseCompression 1
	git_cache config advice.detachedHead false
	touch "$PVA_GIT/complete"
}

package_import() {
	local file=$1 ref=$2 dir=$PVA_CACHE/import
	rm -rf "$dir" && mkdir -p "$dir" &&
		dpkg-deb --fsys-tarfile "$file" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		tar -xJ -C "$dir" --strip-components=1 &&
		directory_import "$dir" "$ref" -f &&
		rm -rf "$dir"
}

# directory_import DIR REF [-f]: DIR's files as a commit without parents. All
# blobs go to one pack straight away, which is much faster than 90,000 files.
directory_import() {
	local dir=$1 ref=$2 index=$PVA_CACHE/import.index tree commit
	rm -f "$index"
	tree=$(cd "$dir" && export GIT_DIR=$PVA_GIT GIT_WORK_TREE=$dir GIT_INDEX_FILE=$index &&
		git -c core.bare=false -c core.bigFileThreshold=1 -c core.compression=1 \
			add -A ${3:+"$3"} . && git write-tree) || return
	rm -f "$index"
	commit=$(git_fixed -C "$PVA_GIT" commit-tree -m "${ref#refs/}" "$tree") &&
		git_cache update-ref "$ref" "$commit" && printf '%s\n' "$commit"
}
