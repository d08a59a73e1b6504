# SPDX-License-Identifier: GPL-2.0
#
# From the lines of fault_cost, each with its variant and run, to the "exact" part
# of the results. The figure that is judged is the smallest sample: the fault as it
# is when neither an interrupt nor a refill of a per-CPU list falls into it.

def figures($lines; $variant; $name):
	[$lines[] | select(.variant == $variant and .name == $name)] as $mine
	| [$mine[] | select(.record == "cost" and .min)] as $costs
	| if $costs == [] then
		{ skipped: ([$mine[] | .skipped // .failed // empty] | first) }
	  else
		($costs[0] | { min, median, p99, samples })
		+ { repeats: ([$costs[] | [.min, .median]] | unique | length == 1), runs: ($costs | length),
		    events: ([$mine[] | .events // empty] | first) }
	  end;

# Before Linux 6.15 a VMA lock is taken by down_read_trylock(), too: as often as it is
# in a fault that needs nothing else. Those are no tries for the mmap_lock.
def without_vma_locks($kernel):
	([.[] | select(.name == "anon/first_read/anon_vma") | .[$kernel].events.mmap_trylock // 0] | first // 0) as $vma
	| map(if .[$kernel].events.mmap_trylock
		then .[$kernel].events |= (.mmap_trylock = ([.mmap_trylock - $vma * ([.page_faults, 1] | max), 0] | max))
		else . end);

. as $lines
| {
	runs: ([$lines[].run] | max),
	probe_overhead: ([$lines[] | select(.record == "run") | .probe_overhead] | first),
	missing_events: ([$lines[] | select(.record == "run") | { (.variant): .missing_events }] | add),
	cases: [
		[$lines[] | select(.record == "cost" and .variant == "base" and .run == 1)][]
		| { name, description }
		+ { base: figures($lines; "base"; .name), patched: figures($lines; "patched"; .name) }
		| if .base.min and .patched.min then
			. + { difference: (.patched.min - .base.min), ratio: (.patched.min / .base.min) }
		  else . end
	] | without_vma_locks("base") | without_vma_locks("patched")
  }
