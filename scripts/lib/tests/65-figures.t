#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# README.md and the cover letter show the figures of results/v7.3/results.json, all of
# them, the changelogs theirs, and those runs met the targets.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"

# shellcheck source=scripts/lib/bench-report.sh
. "$PVA_LIB/bench-report.sh"

results=$PVA_TOP/results/v7.3/results.json

# shows FILE FORMAT RESULTS: every line of the table of RESULTS stands in FILE.
shows() {
	local line absent=0
	"$PVA_LIB/figures" "$2" "$3" >"$TAP_DIR/figures" || return
	[ "$(wc -l <"$TAP_DIR/figures")" -gt 20 ] || return
	while IFS= read -r line; do
		grep -qF -- "$line" "$1" && continue
		printf 'not in %s: %s\n' "${1##*/}" "$line"
		absent=1
	done <"$TAP_DIR/figures"
	return $absent
}

# other_results: the same with one instruction more in each kind of fault.
other_results() {
	jq '.exact.cases |= map(if .patched.min then .patched.min += 1 else . end)' "$results" >"$TAP_DIR/other.json"
	! shows "$1" "$2" "$TAP_DIR/other.json"
}

ok "README.md shows the figures of the results" shows "$PVA_TOP/README.md" --markdown "$results"
ok "README.md does not show other figures" other_results "$PVA_TOP/README.md" --markdown
ok "the cover letter shows the figures of the results" \
	shows "$PVA_TOP/patches/cover-letter.txt" --text "$results"
ok "the cover letter does not show other figures" other_results "$PVA_TOP/patches/cover-letter.txt" --text
# storm CASE: the line of question 3: how many of 1000 faults waited, retry + abort in a second.
storm() {
	jq -r --arg name "$1" '[.contention[] | select(.name == $name)] as $all
		| def median(f): ($all[] | select(.figure == f) | [.base, .patched]);
		median("blocking_locks_per_1000_faults") as [$waited, $waits]
		| median("vma_lock_retry") as [$r, $rp] | median("vma_lock_abort") as [$a, $ap]
		| [$waited, $waits, $r + $a, $rp + $ap] | map(tostring) | join(" +")' "$PVA_TOP/results/v7.3/contention.json"
}
storms_shown() {
	local name
	for name in anon/first_write memfd_private/first_write thp/first_read uffd_copy guard_install; do
		grep -qE " $(storm "$name")$" "$PVA_TOP/patches/cover-letter.txt" || {
			echo "$name: $(storm "$name")" && return 1
		}
	done
}
ok "the cover letter shows the faults beside a writer" storms_shown
# says FILE TEXT: FILE has TEXT, however its lines are broken.
says() {
	tr -s '[:space:]' ' ' <"$1" | grep -qF -- "$2" || { echo "not in ${1##*/}: $2" && return 1; }
}
# ratios_said: the ratios of question 3, with their range: "1.596 (0.741 to 2.160".
ratios_said() {
	jq -r 'def three: . * 1000 | round + 10000 | tostring | "\(.[1:2]).\(.[2:])";
		.contention[] | select(.figure == "faults_per_second")
		| "\(.ratio | three) (\(.spread[0] | three) to \(.spread[1] | three)"' \
		"$PVA_TOP/results/v7.3/contention.json" >"$TAP_DIR/ratios"
	[ "$(wc -l <"$TAP_DIR/ratios")" -ge 7 ] || return
	while IFS= read -r line; do
		says "$PVA_TOP/patches/cover-letter.txt" "$line" || return
	done <"$TAP_DIR/ratios"
}
ok "and how many faults in a second" ratios_said
# cost_said BASE FILE CASE FORMAT: what CASE costs before and after, in the words of FORMAT.
cost_said() {
	local costs
	read -ra costs < <(jq -r --arg name "$3" '.exact.cases[] | select(.name == $name) | "\(.base.min) \(.patched.min)"' \
		"$PVA_TOP/results/$1/$2.json")
	# shellcheck disable=SC2059 # the format is the caller's
	printf "$4" "${costs[@]}"
}
# preempt_shown: the sentence about preemptible RCU.
preempt_shown() {
	local name said
	for name in anon/first_read/no_anon_vma anon/first_write/no_anon_vma thp/first_read/no_anon_vma \
		uffd_copy/no_anon_vma populate_read/no_anon_vma guard_install_memfd/no_anon_vma; do
		said=$(cost_said v7.3 preempt "$name" '%d to %d')
		says "$PVA_TOP/patches/cover-letter.txt" "$said" || return
	done
}
ok "and what preemptible RCU costs" preempt_shown
# memory_shown: what huge zero page reads leave behind.
memory_shown() {
	local said
	said=$(jq -r '.memory | "\(.base.anon_vma_objects) (\(.base.slab_bytes_more) bytes of slab)"' \
		"$PVA_TOP/results/v7.3/scaling.json")
	says "$PVA_TOP/patches/cover-letter.txt" "$said"
}
ok "and what huge zero page reads leave behind" memory_shown
# zero_writes_shown: the workload that is the worst case of writes to the huge zero folio.
zero_writes_shown() {
	local said
	said=$(jq -r '[.workloads[] | select(.name == "thp-read-mostly") | (.ratio * 1000 | round + 10000 | tostring)]
		| map("\(.[1:2]).\(.[2:])") | join(" +")' "$PVA_TOP/results/v7.3/workloads.json")
	grep -qE "thp-read-mostly +$said$" "$PVA_TOP/patches/cover-letter.txt" || { echo "$said" && return 1; }
}
ok "and the workload of writes to the huge zero folio" zero_writes_shown
# variants_shown: the table of question 7.
compared=(anon/first_read/no_anon_vma anon/first_write/no_anon_vma anon/first_write/anon_vma
	memfd_private/first_read/no_anon_vma memfd_private/first_write/no_anon_vma
	memfd_shared/first_write/no_anon_vma thp/first_read/no_anon_vma uffd_copy/no_anon_vma
	guard_install/no_anon_vma)
variants_shown() {
	local name said
	for name in "${compared[@]}"; do
		said=$(jq -r --arg name "$name" '. as $all | ["base", "patched", "check-in-handle_mm_fault", "check-late"]
			| map(. as $v | $all.variants[] | select(.case == $name and .variant == $v) | .min | tostring)
			| join(" +")' "$PVA_TOP/results/v7.3/variants.json")
		grep -qE " $said$" "$PVA_TOP/patches/cover-letter.txt" || { echo "$name: $said" && return 1; }
	done
}
ok "and what other ways would cost" variants_shown
# variants_range FORMAT VARIANT OTHER CASES: what VARIANT takes more than OTHER, the least
# and the most, over the cases that match CASES.
variants_range() {
	local range
	read -ra range < <(jq -r --arg a "$2" --arg b "$3" --arg cases "$4" '[.variants | group_by(.case)[]
		| select(.[0].case | test($cases)) | map({ (.variant): .min }) | add | .[$a] - .[$b]]
		| "\(min) \(max)"' "$PVA_TOP/results/v7.3/variants.json")
	# shellcheck disable=SC2059 # the format is the caller's
	printf "$1" "${range[@]}"
}
# percent_more CASE: what returning NULL costs it, in percent.
percent_more() {
	jq -r --arg case "$1" '[.variants[] | select(.case == $case)] | map({ (.variant): .min }) | add
		| (.["return-null"] / .base - 1) * 100 | round' "$PVA_TOP/results/v7.3/variants.json"
}
# prose_said: the sentences around that table.
prose_said() {
	local letter=$PVA_TOP/patches/cover-letter.txt
	says "$letter" "reads take $(variants_range '%d or %d' mas_walk base '^(anon|memfd_.*|text)/first_(read|execute)') instructions more" &&
		says "$letter" "a write to a shared file $(variants_range '%d%.0s' mas_walk base '^memfd_shared/first_write')," &&
		says "$letter" "the first write to a THP $(variants_range '%d%.0s' mas_walk base '^thp/first_write/no')," &&
		says "$letter" "MADV_GUARD_INSTALL $(variants_range '%d to %d' mas_walk base '^guard_install(/anon|_memfd)') where" &&
		says "$letter" "faults of hugetlb memory $(variants_range '%d to %d' mas_walk base '^hugetlb')." &&
		says "$letter" "is cheapest by $(variants_range '%d to %d' patched check-late "^($(IFS='|' && echo "${compared[*]}"))$") instr" &&
		says "$letter" "is an anon_vma ($(variants_range '%d%.0s' check-late patched ^uffd_copy/anon_vma))," &&
		says "$letter" "the huge zero folio ($(variants_range '%d%.0s' check-late patched ^thp/write_after_read/no))." &&
		says "$letter" "costs first writes $(percent_more memfd_private/first_write/no_anon_vma)% (private file)" &&
		says "$letter" "to $(percent_more anon/first_write/no_anon_vma)% (anonymous memory)"
}
ok "and what is said of them" prose_said
# changelog_says BASE FILE CASE FORMAT: 2/2 says that.
changelog_says() {
	says "$(echo "$PVA_TOP/patches/$1"/0002-*)" "$(cost_said "$@")"
}
# zero_read_said: what the first read of a THP takes less.
zero_read_said() {
	local costs
	read -ra costs < <(cost_said v7.3 results thp/first_read/no_anon_vma '%d %d')
	says "$(echo "$PVA_TOP"/patches/v7.3/0002-*)" "takes $((costs[0] - costs[1])) instructions fewer (of ${costs[0]},"
}
changelogs_say() {
	zero_read_said && changelog_says v7.3 results anon/first_read/no_anon_vma 'took %d instructions and takes %d' &&
		changelog_says v7.3 preempt anon/first_read/no_anon_vma '(%d and %d with PREEMPT_DYNAMIC' &&
		changelog_says v7.3 preempt populate_read/no_anon_vma 'takes 2 more (%d and %d)' &&
		changelog_says v7.3 preempt guard_install_memfd/no_anon_vma 'in a file mapping 1 more (%d and %d)' &&
		changelog_says v6.12 results anon/first_read/no_anon_vma 'first read of anonymous memory %d and %d' &&
		changelog_says v6.12 results memfd_private/first_read/no_anon_vma 'of a private file %d and %d' &&
		changelog_says v6.12 results uffd_copy/no_anon_vma 'UFFDIO_COPY into a fresh VMA %d and %d' &&
		changelog_says v6.12 results thp/write_after_read/no_anon_vma 'read of the huge zero folio (%d and %d' &&
		changelog_says v6.12 results thp/read_then_write/no_anon_vma 'with the read before it %d and %d)'
}
ok "the changelogs give the figures of the results" changelogs_say
for file in "$PVA_TOP"/results/*/*.json; do
	base=$(basename "$(dirname "$file")")
	ok "$base/${file##*/} is of these patches" [ "$(jq -r .patch_ids "$file")" = "$(patch_ids "$base")" ]
done
for base in v7.3 v6.12; do
	ok "the results of $base met the targets" "$PVA_TOP/scripts/bench" --check "$PVA_TOP/results/$base/results.json"
done
done_testing
