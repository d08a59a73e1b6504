# SPDX-License-Identifier: GPL-2.0
#
# $more: kinds of fault that may cost more instructions, as patches/BASE/base says and why.
# The targets of the series, judged from the results: adds "targets", a list of
# { target, case, limit, measured, met }. A case without figures misses its target.

def target($text; $limit; $measured; $met):
	{ target: $text, case: .name, limit: $limit, measured: $measured, met: ($met and $measured != null) };

def rounded: if . == null then null else . * 10000 | round / 10000 end;

# A write after a read of the same memory may cost more where the read no longer
# prepares the anon_vma that it needs; then both faults together are judged.
def moved_from_the_read:
	(.name | test("/write_after_read/"))
	and (.patched.events.anon_vma_prepare // 0) > (.base.events.anon_vma_prepare // 0);

def at_most($limit; $text): target($text; $limit; .ratio | rounded; (.ratio // 9) <= $limit);
def below($limit; $text): target($text; $limit; .ratio | rounded; (.ratio // 9) < $limit);

def needs_no_lock:
	(.name | test("/anon_vma$|_shared/|/install_file|^guard_install_memfd/"))
	or (.name | test("/first_(read|execute)/") and (test("^hugetlb_private/|^thp_no_zero_page/") | not));

def cost_targets:
	if .ratio == null and .base.skipped and .patched.skipped then empty # the kernel lacks what it takes
	elif .ratio == null then target("is measured"; true; null; false)
	elif moved_from_the_read or (.name | IN($more | split(" ")[])) then empty
	else at_most(1; "no more instructions than mainline") end,
	if .ratio == null then empty
	elif .name == "thp/first_read/no_anon_vma" then at_most(0.80; "huge zero page read")
	elif .name == "guard_install/no_anon_vma" then at_most(0.70; "guard region in a fresh VMA")
	elif .name == "uffd_copy/no_anon_vma" then at_most(0.96; "UFFDIO_COPY into a fresh VMA")
	elif .name | test("^(anon|memfd_private)/first_write/") then below(1; "private write cheaper")
	else empty end;

def lock_targets:
	.patched.events as $events
	| if .ratio == null or (.name | test("^populate_")) then empty
	elif $events == null then target("events counted"; true; null; false)
	elif needs_no_lock then
		target("mmap_lock not touched"; 0; $events.mmap_lock; $events.mmap_lock == 0)
	else
		target("at most one mmap_lock, by trylock"; 1; $events.mmap_lock;
			($events.mmap_lock // 9) <= 1 and ($events.mmap_trylock // 0) == $events.mmap_lock)
	end;

def repeat_targets:
	if (.base.runs // 0) > 1 then
		target("min and median the same in every run"; true; (.base.repeats and .patched.repeats);
			.base.repeats and .patched.repeats)
	else empty end;

# What has to be there for the judgement to mean anything.
def required: ["anon/first_read/no_anon_vma", "anon/first_write/no_anon_vma", "anon/first_write/anon_vma",
	"memfd_private/first_read/no_anon_vma", "memfd_private/first_write/no_anon_vma",
	"text/first_read/no_anon_vma", "thp/first_read/no_anon_vma", "thp/read_then_write/no_anon_vma",
	"uffd_copy/no_anon_vma"];

def missing_targets:
	[.exact.cases[] | select(.ratio) | .name] as $measured
	| (required - $measured)[]
	| { target: "is measured", case: ., limit: true, measured: null, met: false };

. + { targets: [(.exact.cases[] | cost_targets, lock_targets, repeat_targets), missing_targets] }
