# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The rows of scripts/review about style: checkpatch, codespell, kernel-doc,
# Coccinelle. Needs review-rows.sh.

# style_exception TYPE: the reason why a checkpatch message of this type is
# accepted, from the list of documented exceptions; fails if there is none.
style_exception() {
	grep -v '^#' "$REVIEW_DATA/checkpatch-exceptions" | awk -v type="$1" '
		$1 == type { sub(/^[^ \t]+[ \t]+/, ""); print; found = 1 } END { exit !found }'
}

review_checkpatch() {
	local tree patch log all type line accepted=()
	log=$(row_log checkpatch)
	all=$log.all
	: >"$all"
	tree=$(review_tree patched)
	while read -r patch; do
		(cd "$tree" && ./scripts/checkpatch.pl --strict --terse --show-types "$patch") \
			2>&1 | sed "s|^$PVA_TOP/||" >>"$all" || true
	done < <(base_patches "$REVIEW_BASE")
	if ! grep -q '^total: .* lines checked' "$all"; then
		row bad checkpatch "checkpatch.pl did not run" "$all"
		return
	fi
	while read -r line; do
		type=$(sed -nE 's/.*(ERROR|WARNING|CHECK):([A-Z0-9_]+): .*/\2/p' <<<"$line")
		if [ -n "$type" ] && style_exception "$type" >/dev/null; then
			accepted+=("$type")
		else
			printf '%s\n' "$line" >>"$log"
		fi
	done < <(grep -E '(ERROR|WARNING|CHECK):' "$all" || true)
	row_if_empty "$log" checkpatch "--strict: nothing$(checkpatch_accepted "${accepted[@]}")" \
		"--strict: $(wc -l <"$log") messages$(checkpatch_accepted "${accepted[@]}")"
}

checkpatch_accepted() {
	[ $# -eq 0 ] || printf ' but %s (documented exceptions)' "$(printf '%s\n' "$@" | sort | uniq -c |
		awk '{ printf "%s%d %s", (NR > 1 ? ", " : ""), $1, $2 }')"
}

# Spelling of what the patches add, changelogs and the cover letter included.
review_codespell() {
	local log patch file
	log=$(row_log codespell)
	need_packages codespell
	while read -r patch; do
		awk '/^---$/ { body = 1 } !body || /^\+[^+]/' "$patch" | spelled "${patch##*/}" >>"$log"
	done < <(base_patches "$REVIEW_BASE")
	file=$PVA_PATCHES/cover-letter.txt
	[ ! -e "$file" ] || spelled cover-letter.txt <"$file" >>"$log"
	row_if_empty "$log" codespell "changelogs, cover letter and added lines: nothing" "$(wc -l <"$log") words"
}

# spelled NAME: the misspelt words on stdin, one a line, behind NAME.
spelled() {
	local found
	found=$(codespell --ignore-words "$REVIEW_DATA/codespell-ignore" -) || [ $? -eq 65 ] ||
		die 3 "codespell does not run"
	sed -n "s|^\t|$1: |p" <<<"$found"
}

# kernel_doc TREE: the messages about the touched files.
kernel_doc() {
	local files tool=scripts/kernel-doc
	mapfile -t files < <(touched_files | grep -E '\.[ch]$')
	(cd "$1" && if [ -e tools/docs/kernel-doc ]; then tool=tools/docs/kernel-doc; fi &&
		"./$tool" -none -Wall "${files[@]}" 2>&1 | sort -u) || true
}

review_kernel_doc() {
	local log
	log=$(row_log kernel-doc)
	need_packages python3
	kernel_doc "$(review_tree base)" >"$log.unpatched"
	kernel_doc "$(review_tree patched)" >"$log.patched"
	messages_new "$log.unpatched" "$log.patched" >"$log"
	if ! grep -qiE 'warning|error' "$log.patched" && grep -q . "$log.patched"; then
		row bad kernel-doc "kernel-doc did not run" "$log.patched"
		return
	fi
	row_if_empty "$log" kernel-doc "-none -Wall: nothing new ($(wc -l <"$log.unpatched") messages with and without)" \
		"-none -Wall: $(wc -l <"$log") new messages"
}

# cocci_report TREE SCRIPT FILE...: what one of the tree's checks finds.
cocci_report() {
	local tree=$1 script=$2 options
	shift 2
	read -ra options < <(sed -n 's|^// Options: *||p' "$tree/$script")
	(cd "$tree" && nice timeout 1800 spatch -D report --no-show-diff --very-quiet \
		--cocci-file "$script" "${options[@]}" "$@" 2>/dev/null) ||
		printf 'spatch failed on %s\n' "$script"
}

# cocci_scripts TREE: the checks that have a report mode, one a line. --quick:
# those about locks and NULL only.
cocci_scripts() {
	(cd "$1" && grep -lE '^virtual.*report' scripts/coccinelle/*/*.cocci |
		grep -E "${REVIEW_QUICK:+/(locks|null)/}")
}

review_coccinelle() {
	local log tree script files checked=0 failed=0 all key blobs
	log=$(row_log coccinelle)
	need_packages coccinelle:spatch
	mapfile -t files < <(touched_files | grep '\.c$')
	tree=$(review_tree patched)
	mapfile -t all < <(cocci_scripts "$tree")
	for script in "${all[@]}"; do
		checked=$((checked + 1))
		[ ! -t 2 ] || printf '\r\033[K   %d of %d: %s' "$checked" ${#all[@]} "$script" >&2
		blobs=$(cd "$tree" && git ls-tree HEAD "$script" "${files[@]}")
		key=$(key_of cocci "$blobs")
		cached "$key" cocci_report "$tree" "$script" "${files[@]}" >"$log.patched"
		[ -s "$log.patched" ] || continue
		! grep -q '^spatch failed' "$log.patched" || failed=$((failed + 1))
		tree=$(review_tree base)
		blobs=$(cd "$tree" && git ls-tree HEAD "$script" "${files[@]}")
		cached "$(key_of cocci "$blobs")" cocci_report "$tree" "$script" "${files[@]}" >"$log.unpatched"
		tree=$(review_tree patched)
		messages_new "$log.unpatched" "$log.patched" >>"$log"
	done
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ $((2 * failed)) -gt "$checked" ]; then
		row bad coccinelle "spatch failed on $failed of $checked checks"
		return
	fi
	row_if_empty "$log" coccinelle "$((checked - failed)) checks on ${#files[@]} files: nothing new${REVIEW_QUICK:+ (--quick: locks and null only)}; $failed failed on both trees" \
		"$(wc -l <"$log") new messages"
}
