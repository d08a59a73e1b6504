# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The variants of a base, as commits in the cache's repository, and the user's
# own tree as a base. Needs common.sh and source.sh.
#
# VARIANT is base (untouched), patched (the whole series), patchN (its first N
# patches) or mutant:FILE (the diff FILE on top of the whole series).

# tree_commit DIR: the user's own tree as a commit in the cache's repository.
# Only reads from DIR: its HEAD, index and files stay as they are.
tree_commit() {
	local dir=$1 top changes tree
	[ -d "$dir" ] || die 2 "--tree: there is no directory '$dir'"
	if ! grep -qs '^VERSION = ' "$dir/Makefile" || [ ! -e "$dir/mm/memory.c" ]; then
		die 2 "--tree: '$dir' is no Linux kernel source (no Makefile with VERSION, no mm/memory.c)"
	fi
	repository_init || exit
	top=$(git_of "$dir" rev-parse --show-toplevel 2>/dev/null) || top=
	if [ "$top" != "$(realpath "$dir")" ]; then
		note "importing $dir, which is not a git tree"
		directory_import "$(realpath "$dir")" "refs/trees/$(tree_name "$dir")" ||
			die 3 "cannot import '$dir': see the messages above"
		return
	fi
	changes=$(git_of "$dir" status --porcelain --untracked-files=no) || exit
	[ -z "$changes" ] ||
		die 2 "--tree: '$dir' has uncommitted changes ($(wc -l <<<"$changes") files, first:" \
			"$(head -n 1 <<<"$changes" | cut -c4-)): commit or stash them, only HEAD can be tested"
	tree=$(git_of "$dir" rev-parse 'HEAD^{tree}') || die 2 "--tree: '$dir' has no commit yet"
	if ! git_cache cat-file -e "refs/trees/$(tree_name "$dir")^{tree}" 2>/dev/null ||
		[ "$(git_cache rev-parse "refs/trees/$(tree_name "$dir")^{tree}")" != "$tree" ]; then
		tree_import "$dir" "$tree" || die 3 "cannot read the commit HEAD of '$dir'"
	fi
	git_cache rev-parse "refs/trees/$(tree_name "$dir")"
}

# git_of DIR ...: git in somebody's tree, whoever owns it, writing nothing.
git_of() {
	git -c safe.directory='*' --no-optional-locks -C "$@"
}

tree_name() {
	realpath "$1" | sha256sum | cut -c1-12
}

# tree_import DIR TREE: copies the objects of a tree, without any history.
tree_import() {
	local commit
	git_of "$1" rev-list --objects "$2" | cut -d' ' -f1 |
		git_of "$1" pack-objects -q --stdout |
		git_cache index-pack --stdin --fix-thin >/dev/null &&
		commit=$(git_fixed -C "$PVA_GIT" commit-tree -m "trees/$(tree_name "$1")" "$2") &&
		git_cache update-ref "refs/trees/$(tree_name "$1")" "$commit"
}

# variant_check BASE VARIANT: dies when there is no such variant. Does not need the
# source.
variant_check() {
	local base=$1 variant=$2 patches
	mapfile -t patches < <(base_patches "$base")
	case $variant in
	base) return ;;
	patched) ;;
	patch[1-9])
		[ "${variant#patch}" -le ${#patches[@]} ] ||
			die 2 "variant '$variant': patches/$base has ${#patches[@]} patches"
		;;
	mutant:*)
		[ -r "${variant#mutant:}" ] || die 2 "variant '$variant': cannot read '${variant#mutant:}'"
		;;
	*) die 2 "unknown variant '$variant': base, patched, patchN or mutant:FILE" ;;
	esac
	[ ${#patches[@]} -gt 0 ] || die 2 "there are no patches in patches/$base"
}

# variant_commit BASE VARIANT
variant_commit() {
	local base=$1 variant=$2 start patches=() file=
	variant_check "$base" "$variant"
	start=$(source_commit "$base") || exit
	mapfile -t patches < <(base_patches "$base")
	case $variant in
	base)
		printf '%s\n' "$start"
		return
		;;
	patch[1-9]) patches=("${patches[@]:0:${variant#patch}}") ;;
	mutant:*) file=$(realpath -- "${variant#mutant:}") ;;
	esac
	series_commit "$start" "$file" "${patches[@]}"
}

# series_commit START DIFF PATCH...: START with the patches (git am) and the
# diff, if not empty. Made in a work tree that holds the touched files only.
series_commit() {
	local start=$1 diff=$2 key ref dir=$PVA_CACHE/apply log=$PVA_CACHE/log/git-am
	shift 2
	key=$(cat "$@" ${diff:+"$diff"} | sha256sum | cut -c1-40)
	ref=refs/series/$start/$key
	if ! git_cache rev-parse -q --verify "$ref" 2>/dev/null; then
		mkdir -p "$PVA_CACHE/log"
		exec 8>"$dir.lock" && flock 8 # another run may be applying something else there
		apply_tree "$start" "$dir" "$@" ${diff:+"$diff"} >"$log" 2>&1 ||
			die 3 "cannot check out $start: see $log"
		git_fixed -C "$dir" am -q --committer-date-is-author-date --no-gpg-sign "$@" >"$log" 2>&1 ||
			die 1 "$(apply_failure "$log" "$@")"
		if [ -n "$diff" ]; then
			git -C "$dir" apply --index "$diff" >"$log" 2>&1 ||
				die 1 "$(apply_failure "$log" "$diff")"
			git_fixed -C "$dir" commit -q --no-verify --no-gpg-sign -m "${diff##*/}"
		fi
		git_cache update-ref "$ref" "$(git -C "$dir" rev-parse HEAD)"
		exec 8>&-
		git_cache rev-parse --verify "$ref"
	fi
}

# apply_tree COMMIT DIR PATCH...
apply_tree() {
	local commit=$1 dir=$2
	shift 2
	rm -rf "$dir" &&
		git_cache worktree prune &&
		git_cache worktree add -q -f --detach --no-checkout "$dir" "$commit" &&
		sed -n 's|^[-+]\{3\} [ab]/||p' "$@" | sort -u | sed 's|^|/|' |
		git -C "$dir" sparse-checkout set --no-cone --stdin &&
		git -C "$dir" checkout -q -f --detach "$commit"
}

# apply_failure LOG PATCH...: which patch and which hunk does not apply.
apply_failure() {
	local log=$1 number patch hunk
	shift
	number=$(sed -n 's/^Patch failed at 0*\([0-9]*\) .*/\1/p' "$log")
	patch=$1
	[ -z "$number" ] || patch=${!number}
	hunk=$(sed -n 's/^error: patch failed: \(.*\):\([0-9]*\)$/the hunk at line \2 of \1/p' "$log" | head -n 1)
	[ -n "$hunk" ] || hunk=$(sed -n 's/^error: //p' "$log" | head -n 1)
	printf '%s does not apply to this source: %s\n' "${patch#"$PVA_TOP"/}" "${hunk:-see $log}"
}
