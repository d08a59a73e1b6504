# SPDX-License-Identifier: GPL-2.0
#
# From pairs of runs (mainline, patched, mainline, patched, ...) to figures with
# their spread. The ratio is that of the medians, the spread goes from the smallest
# to the largest ratio within a pair. A verdict is given only where the spread
# allows one: "better" or "worse" when every pair says so, "same" when the pairs
# disagree by little and around 1, else "unclear".

def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor]
	else (.[length / 2] + .[length / 2 - 1]) / 2 end;

def verdict($spread; $better):
	if $spread == null then "-"
	elif $spread[0] > 1 then (if $better == "higher" then "better" else "worse" end)
	elif $spread[1] < 1 then (if $better == "higher" then "worse" else "better" end)
	elif $spread[1] - $spread[0] <= 0.15 then "same"
	else "unclear" end;

# Of samples [{ variant, pair, value }] of one figure.
def paired($better):
	. as $samples
	| [$samples[] | select(.variant == "base") | .value] as $base
	| [$samples[] | select(.variant == "patched") | .value] as $patched
	| ($samples | group_by(.pair) | map((map({ (.variant): .value }) | add)
		| select((.base // 0) > 0 and .patched != null) | .patched / .base)) as $ratios
	| (if ($ratios | length) >= 3 then [$ratios | min, max] else null end) as $spread
	| { better: $better, base: ($base | median), patched: ($patched | median),
	    ratio: (if (($base | median) // 0) > 0 then ($patched | median) / ($base | median) else null end),
	    spread: $spread, verdict: verdict($spread; $better), samples: { base: $base, patched: $patched } };

def figures: [
	["faults_per_second", "higher"], ["p50_ns", "lower"], ["p99_ns", "lower"], ["max_ns", "lower"],
	["blocking_locks_per_1000_faults", "lower"], ["vma_lock_success", "higher"],
	["vma_lock_abort", "lower"], ["vma_lock_retry", "lower"], ["write_locks_per_second", "higher"]];

def contention_rows_of:
	. as $lines
	| [$lines[] | select(.faults)] | group_by(.name)[] as $kind
	| figures[] as [$figure, $better]
	| [$kind[] | { variant, pair, value: .[$figure] } | select(.value != null)]
	| select(length > 0)
	| { name: $kind[0].name, figure: $figure } + paired($better);

def contention_of: [contention_rows_of];

def workloads_of:
	. as $lines
	| [[$lines[] | select(.per_second)] | group_by([.name, .threads])[]
		| { name: .[0].name, threads: .[0].threads }
		  + (map({ variant, pair, value: .per_second }) | paired("higher"))];
