# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The rows of scripts/review about applying: git am and format-patch. Needs
# review-rows.sh.

# applies NAME COMMAND...: COMMAND prints a commit, or dies: then a bad row.
applies() {
	local name=$1 log rc=0 commit
	shift
	log=$(row_log "${name// /-}")
	commit=$( ("$@") 2>"$log") || rc=$?
	if [ $rc -ne 0 ] || [ -z "$commit" ]; then
		row bad "$name" "$(sed -n '$s/^[^:]*: //p' "$log")" "$log"
		return 1
	fi
}

review_am() {
	local count exports
	count=$(base_patches "$REVIEW_BASE" | wc -l)
	if applies am variant_commit "$REVIEW_BASE" patched; then
		row good am "$count patches apply to Linux $(base_field "$REVIEW_BASE" release)"
	fi
	if applies 'am patch 1 alone' variant_commit "$REVIEW_BASE" patch1; then
		row good 'am patch 1 alone' "applies; see bisect for whether it builds and runs"
	fi
	exports=$(distribution_exports)
	if [ -z "$exports" ]; then
		row skip 'am without exports' "no touched file has an EXPORT_SYMBOL line of the distribution's"
	elif applies 'am without exports' series_without_exports; then
		row good 'am without exports' "applies with these taken out: $(cut -d: -f2 <<<"$exports" | paste -sd' ')"
	fi
}

# distribution_exports: "FILE:SYMBOL" of every export in a touched file that
# the distribution added (and upstream does not have).
distribution_exports() {
	local commit symbols
	symbols=$(grep -v '^#' "$REVIEW_DATA/distribution-exports" | paste -sd'|')
	commit=$(source_commit "$REVIEW_BASE")
	touched_files | while read -r file; do
		git_cache show "$commit:$file" 2>/dev/null |
			sed -nE "s#^EXPORT_SYMBOL(_GPL)?\(($symbols)\);\$#$file:\2#p"
	done
}

# commit_without_exports: the base without these lines.
commit_without_exports() {
	local commit line file index=$REVIEW_CACHE/index.$BASHPID
	commit=$(source_commit "$REVIEW_BASE")
	mkdir -p "$REVIEW_CACHE"
	export GIT_INDEX_FILE=$index
	git_cache read-tree "$commit"
	while IFS=: read -r file line; do
		git_cache cat-file -p ":$file" | sed -E "/^EXPORT_SYMBOL(_GPL)?\($line\);\$/d" |
			git_cache hash-object -w --stdin >"$index.blob"
		git_cache update-index --cacheinfo "100644,$(cat "$index.blob"),$file"
	done < <(distribution_exports)
	git_fixed -C "$PVA_GIT" commit-tree -m 'without the distribution exports' "$(git_cache write-tree)"
	unset GIT_INDEX_FILE
	rm -f "$index" "$index.blob"
}

series_without_exports() {
	local commit patches
	mapfile -t patches < <(base_patches "$REVIEW_BASE")
	commit=$(commit_without_exports) || return
	series_commit "$commit" '' "${patches[@]}"
}

# git am and then format-patch give back the same bytes, git's version aside.
review_format() {
	local dir log patch patches tree name commit start prefix
	log=$(row_log format)
	dir=$(mktemp -d "$REVIEW_WORK/format.XXXXXX")
	start=$(source_commit "$REVIEW_BASE")
	commit=$(variant_commit "$REVIEW_BASE" patched)
	tree=$(review_tree patched)
	mapfile -t patches < <(base_patches "$REVIEW_BASE")
	prefix=$(sed -n "s,^Subject: \[\(.*PATCH[^]]*\) [0-9]*/[0-9]*\].*,\\1,p" "${patches[0]}")
	(cd "$tree" && GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null git format-patch -q --full-index \
		--zero-commit --no-signature --subject-prefix="$prefix" -o "$dir" "$start..$commit")
	for patch in "${patches[@]}"; do
		name=${patch##*/}
		if [ ! -e "$dir/$name" ]; then
			printf '%s: format-patch calls it %s\n' "$name" "$(cd "$dir" && echo "${name%%-*}"-*)" >>"$log"
		else
			diff -u --label "$name" --label "$name, made again" <(without_version "$patch") \
				<(without_version "$dir/$name") >>"$log" || true
		fi
	done
	row_if_empty "$log" format "git am and format-patch --full-index --zero-commit give the same bytes" \
		"git am and format-patch --full-index --zero-commit give other bytes"
}

# without_version PATCH: without the last lines, which name git's version.
without_version() {
	awk '{ line[NR] = $0 } END {
		n = NR
		while (n > 0 && line[n] == "") n--
		if (n > 1 && line[n - 1] == "-- ") n -= 2
		for (i = 1; i <= n; i++) print line[i]
	}' "$1"
}
