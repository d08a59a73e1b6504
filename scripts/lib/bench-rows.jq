# SPDX-License-Identifier: GPL-2.0
#
# The parts of results.json as rows for people, a heading first.

def digits($n): . * pow(10; $n) | round / pow(10; $n);
def ratio: if . == null then "-" else digits(3) | tostring | if test("\\.") then . + "000" | .[:5] else . + ".000" end end;
def signed: if . == null then "-" elif . > 0 then "+\(.)" else tostring end;
def shown: if . == null then "-" else tostring end;

def locks:
	if .events == null then "-"
	else (.events.mmap_lock | shown) + (if (.events.mmap_trylock // 0) > 0 then "t" else "" end) end;

def exact_rows:
	["fault", "mainline", "patched", "difference", "patched/mainline", "lock mainline", "lock patched",
	 "anon_vma mainline", "anon_vma patched", "same in every run"],
	(.exact.cases[] |
		if .ratio then
			[.name, .base.min, .patched.min, (.difference | signed), (.ratio | ratio),
			 (.base | locks), (.patched | locks),
			 (.base.events.anon_vma_prepare | shown), (.patched.events.anon_vma_prepare | shown),
			 (if .base.repeats and .patched.repeats then "yes" else "NO" end)]
		else [.name, "skipped: \(.base.skipped // .patched.skipped)"] end);

def contention_rows:
	["fault", "figure", "mainline", "patched", "patched/mainline", "spread", "verdict"],
	(.contention[] | [.name, .figure, (.base | shown), (.patched | shown), (.ratio | ratio),
		(if .spread then "\(.spread[0] | ratio)-\(.spread[1] | ratio)" else "-" end), .verdict]);

def workloads_rows:
	["workload", "threads", "mainline", "patched", "patched/mainline", "spread", "verdict"],
	(.workloads[] | [.name, .threads, (.base | shown), (.patched | shown), (.ratio | ratio),
		(if .spread then "\(.spread[0] | ratio)-\(.spread[1] | ratio)" else "-" end), .verdict]);

def scaling_rows:
	["fault", "in the process", "mainline", "patched", "patched/mainline"],
	(.scaling | group_by([.case, .axis, .size])[]
		| (map({ (.variant): .min }) | add) as $min
		| [.[0].case, "\(.[0].size) \(.[0].axis)", $min.base, $min.patched, ($min.patched / $min.base | ratio)]);

def memory_rows:
	["figure", "mainline", "patched"],
	(.memory | .base as $base | .patched as $patched | $base | keys_unsorted[]
		| [., ($base[.] | shown), ($patched[.] | shown)]);

def variants_rows:
	(.variants | map(.variant) | reduce .[] as $v ([]; if index($v) then . else . + [$v] end)) as $kernels
	| ["fault"] + $kernels,
	(.variants | map(.case) | reduce .[] as $c ([]; if index($c) then . else . + [$c] end)) as $cases
	| $cases[] as $case
	| [$case] + [$kernels[] as $kernel | .variants[] | select(.case == $case and .variant == $kernel) | .min | shown];

def compare_rows($a; $b):
	["fault", "A mainline", "B mainline", "A patched", "B patched", "B - A patched"],
	($a.exact.cases // [] | map({ key: .name, value: . }) | from_entries) as $old
	| ["A: \($a.date) \($a.release)", "B: \($b.date) \($b.release)"],
	(($b.exact.cases // [])[]
		| $old[.name] as $was
		| [.name, ($was.base.min | shown), (.base.min | shown), ($was.patched.min | shown), (.patched.min | shown),
		   (if $was.patched.min and .patched.min then .patched.min - $was.patched.min | signed else "-" end)]);
