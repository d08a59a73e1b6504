#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What scripts/run makes of the guests' output: table, problems, verdict.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/report.sh
. "$PVA_LIB/report.sh"
need_packages jq

known_skips=$PVA_ALLOWED_SKIPS PVA_ALLOWED_SKIPS=$TAP_DIR/allowed-skips
printf '%s\tany\t%s\tno reason\n' Uring '^no io_uring$' Matrix '^no huge page$' >"$PVA_ALLOWED_SKIPS"

# guest_output VARIANT: a good run's output, as the kselftest runner prints it.
guest_output() {
	local lock=1 try=0 verdict=mainline
	[ "$1" = base ] || lock=0 try=0 verdict=patched
	cat <<-OUT
		PVA-INIT
		TAP version 13
		1..1
		# timeout set to 600
		# selftests: mm/per_vma_lock: per_vma_lock
		# TAP version 13
		# # fault anon/first_read mmap_lock 0 trylock 0 anon_vma 0 verdict both
		# ok 1 Matrix.anon_first_read
		# # fault thp/first_read mmap_lock $lock trylock $try anon_vma 0 verdict $verdict
		# ok 2 Matrix.thp_first_read
		# # fault hole/first_read mmap_lock $lock trylock 0 anon_vma 0 verdict $verdict
		# # fault hole/write_after_read mmap_lock $((1 - lock)) trylock 0 anon_vma 0 verdict $verdict
		# # fault uffd/protected_zero_page/write mmap_lock $((2 - lock)) trylock 0 anon_vma 1 verdict both
		# # fault uffd/missing/read_hugetlb_private mmap_lock $((2 - lock)) trylock 0 anon_vma $((1 - lock)) verdict $verdict
		# ok 3 Uring.Sqpoll # SKIP no io_uring
		# 1..3
		ok 1 selftests: mm/per_vma_lock: per_vma_lock
		PVA-EXIT 0
	OUT
}

# verdict_of [SED-EXPRESSION-FOR-PATCHED [CONSOLE [RC]]]: table and verdict of a
# run whose patched kernel differs from a good one in that.
verdict_of() {
	local rc=0
	guest_output base | sed 's/$/\r/' >"$TAP_DIR/base.out"
	guest_output patched | sed -E "${1-}" >"$TAP_DIR/patched.out"
	: >"$TAP_DIR/base"
	printf '%b' "${2-}" >"$TAP_DIR/patched"
	kernel_json base "$TAP_DIR/base" 0 mainline >"$TAP_DIR/base.json"
	kernel_json patched "$TAP_DIR/patched" "${3-0}" patched >"$TAP_DIR/patched.json"
	jq -s '{ kernels: ., cost: { "anon/first_read": { mainline: 1000, patched: 990 } } }' \
		"$TAP_DIR/base.json" "$TAP_DIR/patched.json" >"$TAP_DIR/report.json"
	report_table "$TAP_DIR/report.json"
	report_verdict "$TAP_DIR/report.json" || rc=$?
	return $rc
}
last_line() {
	tail -n 1 "$OUT" | grep -qE "$1"
}

capture verdict_of
ok "a good run" exits 0 '^anon/first_read +0 +0 +1000 +990 +0.99$' '^thp/first_read +1 +0 +- +- +-$'
ok "the verdict is the last line" last_line '^verdict: good \(6 fault kinds; base 2 passed, 0 failed, 1 skipped; patched 2 passed'
capture verdict_of 's/^# ok 2 /# not ok 2 /; s/^ok 1 (.*)/not ok 1 \1 # exit=1/'
ok "a test case that fails is named" exits 1 '^problem: patched: Matrix.thp_first_read failed' 'verdict: bad \(1 problems'
capture verdict_of '/^# ok 2 /d; /^# 1\.\.3/d; s/^ok 1 (.*)/not ok 1 \1 # exit=139/'
ok "a program that dies is named" exits 1 'per_vma_lock # exit=139 failed'
capture verdict_of '/^# ok 2 /d; s/^ok 1 (.*)/not ok 1 \1 # TIMEOUT 600 seconds/'
ok "a program that takes too long is named" exits 1 'per_vma_lock # TIMEOUT 600 seconds failed'
capture verdict_of 's/(thp.* mmap_lock )0/\11/; s/verdict patched/verdict mainline/'
ok "a kernel that behaves like mainline is no patched one" exits 1 '^problem: patched: thp/first_read: verdict mainline'
capture verdict_of 's/(anon.* mmap_lock )0/\12/'
ok "more mmap_lock than mainline is bad, whatever the test says" exits 1 '^problem: anon/first_read: 2 mmap_lock per fault, mainline 0'
capture verdict_of 's/(anon.* mmap_lock )0 (.* anon_vma )0/\11 \21/'
ok "also when it prepares an anon_vma" exits 1 '^problem: anon/first_read: 1 mmap_lock per fault, mainline 0'
capture verdict_of 's/(hole.write_after_read mmap_lock )1/\12/'
ok "also for a write and the read before it" exits 1 'hole/write_after_read and the read before: 2 mmap_lock per fault, mainline 1'
capture verdict_of '/# fault/d'
ok "no fault measured" exits 1 'patched: no fault was measured'
capture verdict_of '/# fault thp/d'
ok "a kind measured on one kernel only" exits 1 '^problem: thp/first_read: measured on one kernel only'
capture verdict_of '/# fault thp/d; s/^(# ok 2 .*)/\1 # SKIP no huge page/'
ok "unless the other kernel's test said why" exits 0 '^thp/first_read +1 +- +- +- +-$'
capture verdict_of '/# fault anon/d; s/^(# ok 2 .*)/\1 # SKIP no huge page/'
ok "what another test measures is missed" exits 1 '^problem: anon/first_read: measured on one kernel only'
capture verdict_of '/ok [0-9]/d'
ok "no test run" exits 1 'patched: no test passed'
capture verdict_of '' '' 101
ok "a guest that did not end well" exits 1 'patched: the guest ended with 101'

console='[    1.0] Linux version\n[    2.0] pva: job begins\n[    3.0] per_vma_lock: Matrix.first\n'
console+='[    4.0] WARNING: mm/rmap.c:205 at __anon_vma_prepare+0x0\n[    5.0] per_vma_lock: Matrix.second\n'
console+='[    6.0] ======================================================\n'
console+='[    6.1] WARNING: possible circular locking dependency detected\r\n'
console+='<4>[    7.0][  T101] BUG: KASAN: use-after-free in f\n[    8.0] pva: job ends\n'
console+='[    9.0] BUG: KCSAN: data-race in f / g\n[   10.0] INFO: task t:1 blocked for more than 120 seconds.\n'
capture verdict_of '' "$console"
ok "what the kernel complains of belongs to the test that ran" exits 1 \
	'during Matrix.first: WARNING: mm/rmap.c:205' 'during Matrix.second: WARNING: possible circular' \
	'during Matrix.second: BUG: KASAN' 'during boot: BUG: KCSAN' 'during boot: INFO: task'
printf 'hugetlb_fault\n' >"$TAP_DIR/functions"
race='[    9.0] BUG: KCSAN: data-race in do_read / do_write\n'
PVA_KCSAN_FUNCTIONS=$TAP_DIR/functions
capture verdict_of '' "$race"
ok "a data race elsewhere is mainline's" exits 0
capture verdict_of '' "$race"'[    9.1] BUG: KCSAN: data-race in do_read / hugetlb_fault\n'
ok "one in a function of the series is not" exits 1 'problem: patched: .*data-race in do_read / hugetlb_fault' \
	'verdict: bad \(1 problems'
unset PVA_KCSAN_FUNCTIONS
capture verdict_of '' '[    1.0] Warning: unable to open an initial console\n[    2.0] DEBUG: BUGGY hardware\n'
ok "ordinary messages are no complaints" exits 0
# cost_is KIND MAINLINE PATCHED...: the verdict of a good run with these costs.
cost_is() {
	verdict_of '' >/dev/null
	jq -n '[$ARGS.positional | _nwise(3) | { key: .[0], value: { mainline: .[1] | tonumber, patched: .[2] | tonumber } }]
		| from_entries' --args "$@" >"$TAP_DIR/cost.json"
	jq --slurpfile cost "$TAP_DIR/cost.json" '.cost = $cost[0] | .base = "v0.0"' "$TAP_DIR/report.json" >"$TAP_DIR/cost-report.json"
	report_verdict "$TAP_DIR/cost-report.json"
}
capture cost_is anon/first_read 1000 1000
ok "as many instructions as mainline" exits 0
capture cost_is anon/first_read 1000 1001
ok "an instruction more is bad" exits 1 '^problem: anon/first_read: 1001 instructions per fault, mainline 1000'
capture cost_is thp/first_read 1000 900 thp/write_after_read 1000 1100
ok "what a read saves, the write after it may cost" exits 0
capture cost_is thp/first_read 1000 900 thp/write_after_read 1000 1101
ok "but not more" exits 1 '^problem: thp/write_after_read: 1101 instructions'
capture verdict_of '/# fault/d'
jq '.filter = "Race.*" | .kernels |= map(.faults = [])' "$TAP_DIR/report.json" >"$TAP_DIR/filtered.json"
capture report_verdict "$TAP_DIR/filtered.json"
ok "with --filter no fault needs to be measured" exits 0

# skipping TEST REASON [FILTER]: the verdict of a run of v7.3 in which TEST, and another
# one of that name, were skipped; FILTER changes what else is in the report.
skipping() {
	verdict_of '' >/dev/null
	jq --arg test "$1" --arg reason "$2" '.base = "v7.3" | .config = "fast" | .kernels |= map(.skips = [$test, $test + "2"
		| { test: ., reason: $reason }])'"${3:+| $3}" "$TAP_DIR/report.json" >"$TAP_DIR/skips.json"
	report_verdict "$TAP_DIR/skips.json"
}
verdict_of '' >/dev/null
ok "skips and their reasons" [ "$(jq -c '.kernels[0].skips' "$TAP_DIR/report.json")" = \
	'[{"test":"Uring.Sqpoll","reason":"no io_uring"}]' ]
PVA_ALLOWED_SKIPS=$known_skips
well_formed() {
	awk -F'\t' '!/^#/ && (NF != 4 || $4 == "") { print; bad = 1 } END { exit bad }' "$PVA_ALLOWED_SKIPS"
}
ok "the list of skips has four columns" well_formed
lost=('Matrix/Faults.KeepsVmaLock/first_read_hugetlbfs_private' 'no hugetlbfs mount')
capture skipping "${lost[@]}"
ok "a mount that got lost" exits 1 \
	"^problem: patched: ${lost[0]} and 1 more skipped, which scripts/lib/allowed-skips does not know: ${lost[1]}$" \
	'^verdict: bad \(2 problems'
capture skipping "${lost[@]}" '.filter = "Matrix/*"'
ok "with --filter that is no problem" exits 0
capture skipping "${lost[@]}" '.tree = "/linux"'
ok "nor in a tree of the user's" exits 0
nth=(FailNth/FirstWrites.LeakNothing/anon 'no fail-nth: kernel without CONFIG_FAULT_INJECTION, or not root')
capture skipping "${nth[@]}"
ok "what only the debug configuration has" exits 0
capture skipping "${nth[@]}" '.config = "debug"'
ok "and that it has it" exits 1 "FailNth/.* and 1 more skipped"
guard=(Guard/Stories.DataIsRight/install_fresh_anon 'guard region in anon: Invalid argument')
capture skipping "${guard[@]}" '.base = "v6.12"'
ok "what only the newer base has" exits 0
capture skipping "${guard[@]}"
ok "and that it has it" exits 1 "Guard/.* and 1 more skipped"
capture skipping Matrix/Faults.KeepsVmaLock/x 'series not applied' '.kernels[].expect = "auto"'
ok "a kernel with a part of the series" exits 0
capture skipping Matrix/Faults.KeepsVmaLock/x 'series not applied'
ok "one with all of it" exits 1 'skipped'
for reason in 'memory is too fragmented for a large folio' 'trylocks failed in 0 of 2395 accesses' \
	'MADV_COLLAPSE: Cannot allocate memory' 'surplus huge pages are in use' 'khugepaged is always faster'; do
	capture skipping Race.X "$reason"
	ok "chance: $reason" exits 0
done
done_testing
