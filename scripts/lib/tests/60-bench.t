#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The benchmark without a guest: what it says to bad input, how it judges, what it
# makes of its figures. The results are made here, so that they can be made wrong.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
bench=$PVA_TOP/scripts/bench
need_packages jq gnuplot-nox:gnuplot

good=$TAP_DIR/good.json
# One case: NAME BASE PATCHED LOCKS-BASE LOCKS-PATCHED PREPARED-BASE PREPARED-PATCHED
one_case() {
	jq -n --arg name "$1" --argjson base "$2" --argjson patched "$3" --argjson lb "$4" --argjson lp "$5" \
		--argjson pb "$6" --argjson pp "$7" '
		def figures($min; $locks; $prepared): { min: $min, median: $min, p99: $min, samples: 300,
			repeats: true, runs: 2, events: { page_faults: 1, mmap_lock: $locks, mmap_trylock: $locks,
			mmap_lock_failed: 0, anon_vma_prepare: $prepared } };
		{ name: $name, description: "made up", base: figures($base; $lb; $pb),
		  patched: figures($patched; $lp; $pp), difference: ($patched - $base), ratio: ($patched / $base) }'
}
{
	one_case anon/first_read/no_anon_vma 1141 1141 0 0 0 0
	one_case anon/first_write/no_anon_vma 7313 7290 1 1 1 1
	one_case anon/first_write/anon_vma 6145 6140 0 0 0 0
	one_case memfd_private/first_read/no_anon_vma 8263 8263 0 0 0 0
	one_case memfd_private/first_write/no_anon_vma 7662 7650 1 1 1 1
	one_case text/first_read/no_anon_vma 8259 8259 0 0 0 0
	one_case thp/first_read/no_anon_vma 6864 5400 1 0 1 0
	one_case thp/write_after_read/no_anon_vma 2105650 2106800 0 1 0 1
	one_case thp/read_then_write/no_anon_vma 2109924 2109700 1 1 1 1
	one_case uffd_copy/no_anon_vma 7517 7100 1 1 1 1
	one_case guard_install/no_anon_vma 3479 2300 1 1 1 1
} | jq -s '{ schema: "per-vma-anon/bench/1", base: "v7.3", release: "7.3.4", date: "2026-01-01T00:00:00Z",
	versions: { qemu: "QEMU", compiler: "gcc" }, exact: { runs: 2, cases: . } }' >"$good"

# doctored NAME FILTER: the good results, changed.
doctored() {
	jq "def fault(n): .exact.cases[] | select(.name == n); $2" "$good" >"$TAP_DIR/$1.json"
}

capture "$bench" --check "$good"
ok "good results meet all targets" exits 0 'verdict: all [0-9]+ targets met'

# misses NAME CASE FILTER TARGET: these doctored results miss this target, named.
misses() {
	doctored "$1" "$3"
	capture "$bench" --check "$TAP_DIR/$1.json"
	ok "missed and named: $1" exits 1 "MISSED +$2 .*$4" 'verdict: [0-9]+ of [0-9]+ targets missed'
}
misses "a read that costs one instruction more" anon/first_read/no_anon_vma \
	'(fault("anon/first_read/no_anon_vma") | .ratio) = 1142 / 1141' 'no more instructions'
misses "a write that is no cheaper" anon/first_write/anon_vma \
	'(fault("anon/first_write/anon_vma") | .ratio) = 1' 'private write cheaper'
misses "a huge zero page read above 0.80" thp/first_read/no_anon_vma \
	'(fault("thp/first_read/no_anon_vma") | .ratio) = 0.8001' 'huge zero page'
misses "a read that takes mmap_lock" text/first_read/no_anon_vma \
	'(fault("text/first_read/no_anon_vma") | .patched.events.mmap_lock) = 1' 'not touched'
misses "a first write that waits for mmap_lock" anon/first_write/no_anon_vma \
	'(fault("anon/first_write/no_anon_vma") | .patched.events.mmap_trylock) = 0' 'by trylock'
misses "a first write that takes it twice" anon/first_write/no_anon_vma \
	'(fault("anon/first_write/no_anon_vma") | .patched.events) |= (.mmap_lock = 2 | .mmap_trylock = 2)' 'at most one'
misses "the pair of a moved cost" thp/read_then_write/no_anon_vma \
	'(fault("thp/read_then_write/no_anon_vma") | .ratio) = 1.001' 'no more instructions'
misses "figures that do not repeat" anon/first_read/no_anon_vma \
	'(fault("anon/first_read/no_anon_vma") | .patched.repeats) = false' 'same in every run'
misses "a fault that was not measured" uffd_copy/no_anon_vma \
	'.exact.cases |= map(select(.name != "uffd_copy/no_anon_vma"))' 'is measured'
doctored believed '.targets = [] | (fault("anon/first_read/no_anon_vma") | .ratio) = 2'
capture "$bench" --check "$TAP_DIR/believed.json"
ok "a judgement in the file is not believed" exits 1 'targets missed'

doctored other '.schema = "per-vma-anon/bench/0"'
capture "$bench" --check "$TAP_DIR/other.json"
ok "another schema is refused" exits 2 "schema is 'per-vma-anon/bench/0'"
capture "$bench" --compare "$good" "$TAP_DIR/other.json"
ok "by --compare too" exits 2 "other.json': its schema"
echo 'no json' >"$TAP_DIR/text"
capture "$bench" --check "$TAP_DIR/text"
ok "what is no JSON is refused" exits 2 "is no JSON"
: >"$TAP_DIR/empty"
capture "$bench" --check "$TAP_DIR/empty"
ok "an empty file too" exits 2 "'.*/empty': is no JSON"
capture "$bench" --check "$TAP_DIR/absent"
ok "what cannot be read is refused" exits 2 "absent': cannot be read"
doctored parts 'del(.exact)'
capture "$bench" --check "$TAP_DIR/parts.json"
ok "results without the exact part are refused" exits 2 "no exact part"
capture "$bench" --compare "$good" "$good"
ok "--compare shows both" exits 0 'anon/first_read/no_anon_vma +1141 +1141 +1141 +1141 +0'

jq 'del(.exact)' "$good" >"$TAP_DIR/inexact.json"
capture "$bench" --compare "$good" "$TAP_DIR/inexact.json"
ok "--compare of results without the exact part" exits 2 "inexact.json has no exact part"
capture "$bench" --check "$good" --contention
ok "--check of a file does not measure" exits 2 "it does not go with --contention"
for judge in "" "$good"; do
	capture "$bench" --base v0.1 --check ${judge:+"$judge"} --case 'anon/*'
	ok "--check${judge:+ of a file} of some kinds of fault is refused" exits 2 "it does not go with --case anon"
done
capture "$bench" --frobnicate
ok "an unknown option is refused" exits 2 "unknown option '--frobnicate'"
capture "$bench" --base v0.1 --case "anon/*'; reboot; '"
ok "a pattern that is more than one to the guest's shell is refused" exits 2 "--case 'anon/\*'; reboot; ''"
capture "$bench" --base v0.1 --attribute "anon/first_read'"
ok "in --attribute too" exits 2 "--attribute 'anon/first_read''"
capture "$PVA_LIB/fault-cost" --mainline "$TAP_DIR" --patched "$TAP_DIR" --case "anon/*'"
ok "and for fault-cost" exits 2 "--case 'anon/\*''"
capture "$bench" --base v0.1 --case '*/first_[rw]*'
ok "one that is not is taken" exits 2 "unknown base 'v0.1'"
capture "$bench" --runs 0
ok "a wrong number is refused" exits 2 "--runs '0'"
capture "$bench" --contention --check
ok "--check without the exact part is refused" exits 2 "add --exact"
capture "$bench" --base v0.1
ok "an unknown base is refused" exits 2 "v0.1"
mkdir -p "$TAP_DIR/a" "$TAP_DIR/b"
capture "$bench" --mainline "$TAP_DIR/a" --patched "$TAP_DIR/b"
ok "a directory without a kernel is refused" exits 2 'bzImage'
for dir in a b; do
	: >"$TAP_DIR/$dir/bzImage"
	printf 'CONFIG_SMP=y\nCONFIG_LOCALVERSION="%s"\n' "$dir" >"$TAP_DIR/$dir/.config"
done
echo 'CONFIG_DEBUG_VM=y' >>"$TAP_DIR/b/.config"
capture "$bench" --mainline "$TAP_DIR/a" --patched "$TAP_DIR/b"
ok "kernels of different configuration are refused" exits 2 'configured differently \(CONFIG_DEBUG_VM=y\)'

# The figures with a spread: what verdict they get.
verdict_of() {
	jq -n -L "$PVA_LIB" 'include "bench-pairs"; $ARGS.positional as $v
		| [range(0; ($v | length) / 2) as $i | ({ variant: "base", pair: $i, value: ($v[2 * $i] | tonumber) },
			{ variant: "patched", pair: $i, value: ($v[2 * $i + 1] | tonumber) })]
		| paired("higher").verdict' --args "$@"
}
says() {
	local expected=$1 got
	shift
	got=$(verdict_of "$@")
	[ "$got" = "\"$expected\"" ] || {
		echo "expected $expected, got $got"
		return 1
	}
}
ok "all pairs higher: better" says better 100 110 100 120 90 99
ok "all pairs lower: worse" says worse 100 90 100 80 90 89
ok "pairs around 1, close together: same" says same 100 101 100 99 100 100
ok "pairs far apart: no verdict" says unclear 100 150 100 60 100 100
ok "too few pairs: no verdict" says - 100 150 100 150

# The report: chart and tables from the same figures.
report_is_whole() {
	local dir=$TAP_DIR/report
	mkdir -p "$dir" && cp "$good" "$dir/results.json"
	(
		# shellcheck source=scripts/lib/bench-report.sh
		. "$PVA_LIB/bench-report.sh"
		results_judge "$dir/results.json"
		results_report "$dir"
	) >"$dir/stdout"
	grep -q 'anon/first_read/no_anon_vma *1141 *1141 *0 *1.000' "$dir/stdout" &&
		grep -q '| thp/first_read/no_anon_vma | 6864 | 5400 | -1464 | 0.787 |' "$dir/report.md" &&
		grep -q '<svg' "$dir/cost.svg" && grep -q 'guard_install/no_anon_vma' "$dir/cost.svg" &&
		grep -q '0.661' "$dir/cost.svg"
}
ok "table, Markdown and chart show the figures" report_is_whole
done_testing
