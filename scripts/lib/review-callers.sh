# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The row of scripts/review that knows every caller. Needs review-rows.sh.

callers_of=(lock_vma_under_rcu vmf_anon_prepare __vmf_anon_prepare anon_vma_prepare __anon_vma_prepare
	vma_anon_prepare_or_unlock)

# callers_found TREE: "FILE FUNCTION CALLEE ARGUMENTS" (tabs), every call.
callers_found() {
	local words=()
	words=("${callers_of[@]/#/-e}")
	(cd "$1" && git grep -lw "${words[@]}" HEAD -- '*.c' '*.h' '*.rs' '*.S' | sed 's/^HEAD://' |
		xargs -r -d '\n' awk -v names="${callers_of[*]}" -f "$REVIEW_DATA/calls.awk") |
		cut -f 1,3- | sort -u
}

# callers_known BASE: the same from the table, with the lock and the reason
# after it: the lines for this base or, if it has none, for every base.
callers_known() {
	local table=$REVIEW_DATA/callers
	if grep -qE "^([^#\t]*,)?$1(,[^\t]*)?"$'\t' "$table"; then
		grep -E "^([^#\t]*,)?$1(,[^\t]*)?"$'\t' "$table"
	else
		grep -vE '^(#|$)' "$table"
	fi | cut -f 2- | sort -u
}

review_callers() {
	local log tree
	log=$(row_log callers)
	tree=$(review_tree patched)
	callers_found "$tree" >"$log.found"
	callers_known "$REVIEW_BASE" >"$log.known"
	if [ ! -s "$log.found" ]; then
		row bad callers "no call of ${callers_of[0]} was found at all"
		return
	fi
	comm -23 "$log.found" <(cut -f 1-4 "$log.known" | sort -u) | sed 's/^/unknown caller: /' >"$log"
	if grep -qE "^([^#\t]*,)?$REVIEW_BASE(,[^\t]*)?"$'\t' "$REVIEW_DATA/callers"; then
		comm -13 "$log.found" <(cut -f 1-4 "$log.known" | sort -u) | sed 's/^/known, but gone: /' >>"$log"
	fi
	{
		printf 'file\tfunction\tcalls\twith\tlock held, and why this is right\n'
		awk -F'\t' -v OFS='\t' 'NR == FNR { why[$1 FS $2 FS $3 FS $4] = $5; next }
			{ print $0, (($0 in why) ? why[$0] : "UNKNOWN") }' "$log.known" "$log.found"
	} | column -t -s $'\t' >"$log.table"
	row_if_empty "$log" callers "$(wc -l <"$log.found") calls, all in the table of known callers" \
		"$(wc -l <"$log") differences from the table of known callers (scripts/lib/review/callers)"
}
