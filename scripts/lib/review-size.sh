# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The rows of scripts/review about how much: lines of code, bytes of text. Needs
# review-matrix.sh.

# code_lines FROM TO: "ADDED REMOVED FILE" for every touched C or Rust file,
# comments, blank lines and white space apart.
code_lines() {
	local file dir=$REVIEW_WORK added removed
	git_cache diff --no-renames --name-only "$1" "$2" | grep -E '\.(c|h|rs|S)$' | while read -r file; do
		git_cache show "$1:$file" 2>/dev/null | awk -f "$REVIEW_DATA/code.awk" >"$dir/from" || : >"$dir/from"
		git_cache show "$2:$file" 2>/dev/null | awk -f "$REVIEW_DATA/code.awk" >"$dir/to" || : >"$dir/to"
		read -r added removed < <(git diff --no-index --numstat "$dir/from" "$dir/to" | cut -f 1,2 || true) || true
		printf '%d %d %s\n' "${added:-0}" "${removed:-0}" "$file"
		added='' removed=''
	done
}

# lines_sum: "ADDED REMOVED" of all lines on stdin.
lines_sum() {
	awk '{ added += $1; removed += $2 } END { print added + 0, removed + 0 }'
}

review_size() {
	local log count i from to added removed detail='' sum patches
	log=$(row_log size)
	mapfile -t patches < <(base_patches "$REVIEW_BASE")
	count=${#patches[@]}
	from=$(source_commit "$REVIEW_BASE")
	{
		printf '\n## Lines of code, %s\n\nWithout comments, blank lines and Documentation.\n\n' "$REVIEW_BASE"
		printf '| added | removed | patch | file |\n| ----: | ------: | ----- | ---- |\n'
	} >>"$REVIEW_OUTPUT/size.md"
	for ((i = 1; i <= count; i++)); do
		to=$(variant_commit "$REVIEW_BASE" "patch$i")
		code_lines "$from" "$to" >"$log.$i"
		read -r added removed < <(lines_sum <"$log.$i")
		detail+="${detail:+, }patch $i +$added -$removed"
		awk -v patch="$i" '{ printf "| %d | %d | %d | %s |\n", $1, $2, patch, $3 }' "$log.$i" >>"$REVIEW_OUTPUT/size.md"
		from=$to
	done
	sum=$(cat "$log".[1-9]* | lines_sum)
	read -r added removed <<<"$sum"
	printf '| **%d** | **%d** | | sum: %+d |\n' "$added" "$removed" $((added - removed)) >>"$REVIEW_OUTPUT/size.md"
	detail+=", sum $(printf '+%d -%d = %+d' "$added" "$removed" $((added - removed))) lines of code"
	if [ "$added" -lt "$removed" ]; then
		row good size "$detail"
	elif grep -q '^more_code=' "$PVA_PATCHES/$REVIEW_BASE/base"; then
		row skip size "$detail: $(base_field "$REVIEW_BASE" more_code)"
	else
		cat "$log".[1-9]* >"$log"
		row bad size "$detail: the series has to remove more than it adds" "$log"
	fi
}

# The text of all touched objects of one configuration, optimised for speed.
review_text() {
	local pair
	need_build_packages
	if ! pair=$(cell_pair x86_64 gcc defconfig none); then
		row bad text "x86_64 defconfig cannot be compiled with gcc"
		return
	fi
	jq -r '"\(.objects)\t\(.text_base)\t\(.text_patched)"' <<<"$pair" |
		while IFS=$'\t' read -r objects base patched; do
			row good text "$objects touched objects, x86_64 defconfig, gcc: $base bytes unpatched, $patched patched ($(printf '%+d' $((patched - base))))"
		done
}
