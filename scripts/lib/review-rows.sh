# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The rows of scripts/review: recorded one by one, then reported. Needs
# kernels.sh.
#
# REVIEW_BASE    the base that is being reviewed
# REVIEW_OUTPUT  where the report and the logs go
# REVIEW_WORK    for what a row needs for a moment
# REVIEW_QUICK   not empty: --quick
# REVIEW_FULL    not empty: --full

# shellcheck disable=SC2034 # some are for the other parts
REVIEW_CACHE=$PVA_CACHE/review
# shellcheck disable=SC2034
REVIEW_DATA=$PVA_LIB/review
REVIEW_BASE='' REVIEW_OUTPUT='' REVIEW_WORK='' REVIEW_QUICK='' REVIEW_FULL=''

# row VERDICT NAME DETAIL [LOG]: one line of the report. VERDICT is good, bad
# or skip; DETAIL says in one line what was found, or why it was skipped.
row() {
	local seconds=$((SECONDS - row_start))
	jq -nc --arg base "$REVIEW_BASE" --arg row "$2" --arg verdict "$1" --arg detail "$3" \
		--arg log "${4:+${4#"$REVIEW_OUTPUT"/}}" --argjson seconds "$seconds" \
		'{ base: $base, row: $row, verdict: $verdict, detail: $detail, seconds: $seconds }
		+ (if $log == "" then {} else { log: $log } end)' >>"$REVIEW_OUTPUT/rows.jsonl"
	printf '   %-4s  %-5s  %-22s  %6s  %s\n' "$1" "$REVIEW_BASE" "$2" "$(duration "$seconds")" "$3" >&2
	if [ "$1" = bad ] && [ -n "${4-}" ] && [ -s "${4-}" ]; then
		head -n 12 "$4" | cut -c1-160 | sed 's/^/         | /' >&2
	fi
	row_start=$SECONDS
}
row_start=0

# row_log NAME: an empty log for a row.
row_log() {
	local log=$REVIEW_OUTPUT/logs/$REVIEW_BASE-$1
	mkdir -p "${log%/*}"
	: >"$log"
	printf '%s\n' "$log"
}

# row_if_empty LOG NAME GOOD BAD: good when there is nothing in LOG.
row_if_empty() {
	if [ -s "$1" ]; then
		row bad "$2" "$4" "$1"
	else
		row good "$2" "$3"
	fi
}

# group_run GROUP BASE: the rows of one group. Whatever ends it before its time
# makes a bad row of its own.
group_run() {
	local group=$1 rc
	REVIEW_BASE=$2
	row_start=$SECONDS
	stage "$REVIEW_BASE $group"
	set +e
	(
		set -e
		"review_${group//-/_}"
	)
	rc=$?
	set -e
	[ $rc -eq 0 ] || row bad "$group" "ended with exit code $rc: see the messages above"
}

# key_of TEXT...: names a cached result.
key_of() {
	printf '%s\n' "$@" | sha256sum | cut -c1-32
}

# cached KEY COMMAND...: what COMMAND prints, remembered if it succeeds.
cached() {
	local file=$REVIEW_CACHE/results/${1:0:2}/$1
	shift
	if [ ! -e "$file" ]; then
		mkdir -p "${file%/*}"
		"$@" >"$file.$BASHPID" || {
			rm -f "$file.$BASHPID"
			return 1
		}
		mv "$file.$BASHPID" "$file"
	fi
	cat "$file"
}

# tree_id VARIANT: the git tree of a variant of the base: its whole content.
tree_id() {
	local commit
	commit=$(variant_commit "$REVIEW_BASE" "$1") && git_cache rev-parse "$commit^{tree}"
}

# review_tree VARIANT: a full work tree of this variant. There is one for each
# base, so an earlier answer is no longer what it was.
review_tree() {
	local dir=$REVIEW_CACHE/source/$REVIEW_BASE commit
	commit=$(variant_commit "$REVIEW_BASE" "$1") || return
	mkdir -p "${dir%/*}"
	if [ ! -e "$dir/.git" ] || [ "$(git -C "$dir" rev-parse HEAD)" != "$commit" ]; then
		checkout "$dir" "$commit" >&2 || die 3 "cannot check out $commit in $dir"
		: >"$dir.touched"
	fi
	printf '%s\n' "$dir"
}

# touched_files [PATCH...]: what the series (or these patches) touch.
touched_files() {
	[ $# -gt 0 ] || mapfile -t < <(base_patches "$REVIEW_BASE")
	sed -n 's|^diff --git a/\(.*\) b/.*|\1|p' "${@:-${MAPFILE[@]}}" | sort -u
}

# is_newest: whether it is the newest base that is being reviewed, and not a backport.
is_newest() {
	[ "$REVIEW_BASE" = "$(base_names | head -n 1)" ]
}

# version_below HAVE WANTED
version_below() {
	[ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# messages_new OLD NEW: the lines of NEW that OLD does not have, line numbers
# apart.
messages_new() {
	comm -13 <(messages_plain "$1") <(messages_plain "$2")
}

messages_plain() {
	sed -E 's/:[0-9]+(:[0-9]+)?(: ?| )/: /; s/:[0-9]+(:[0-9]+)?-[0-9]+: /: /; s/ line [0-9]+\b/ a line/g' "$1" | sort
}

# report_write: report.json and report.md from the rows.
report_write() {
	local dir=$REVIEW_OUTPUT
	touch "$dir/rows.jsonl" "$dir/cells.jsonl"
	jq -n --slurpfile rows "$dir/rows.jsonl" --slurpfile cells "$dir/cells.jsonl" \
		--arg quick "$REVIEW_QUICK" --arg full "$REVIEW_FULL" --argjson seconds $SECONDS \
		'{ schema: "per-vma-anon/review/1", quick: ($quick != ""), full: ($full != ""), seconds: $seconds,
		  verdict: (if ($rows | map(select(.verdict == "bad")) | length) > 0 then "bad" else "good" end),
		  rows: $rows, compile: $cells }' >"$dir/report.json"
	{
		printf '# Review of the series\n\n'
		jq -r '"Verdict: **\(.verdict)**, \(.rows | length) rows\(if .quick then ", --quick" else "" end)\n"' "$dir/report.json"
		markdown_table '.rows[] | [.verdict, .base, .row, .detail]' verdict base row detail
		if [ -s "$dir/cells.jsonl" ]; then
			printf '\n## Compile matrix\n\nText in bytes, all touched objects. Unpatched only where the patched tree has messages.\n\n'
			markdown_table '.compile[] | [.base, .arch, .compiler, .kind, .off, .verdict, (.objects | tostring),
				(.text_base // "-" | tostring), (.text_patched // "-" | tostring),
				(if .text_base then .text_patched - .text_base | tostring else "-" end), .detail]' \
				base arch compiler config off verdict objects 'text unpatched' 'text patched' difference detail
		fi
		if [ -s "$dir/size.md" ]; then
			cat "$dir/size.md"
		fi
	} >"$dir/report.md"
}

# markdown_table FILTER HEADING...: an aligned Markdown table of report.json.
markdown_table() {
	local filter=$1 heading bars=()
	shift
	for heading; do bars+=("${heading//?/-}"); done
	{
		(IFS=$'\t' && printf '%s\n%s\n' "$*" "${bars[*]}")
		jq -r "$filter | map(gsub(\"[|]\"; \"\\\\|\") | if . == \"\" then \"-\" else . end) | join(\"\t\")" \
			"$REVIEW_OUTPUT/report.json"
	} | column -t -s $'\t' -o ' | ' | sed 's/^/| /; s/$/ |/'
}
