# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The parts of the benchmark that are measured by the clock, and the memory part.
# Needs bench-guest.sh.

# load_part contention|workloads OUTPUT MAINLINE PATCHED INITRAMFS PAIRS SECONDS:
# OUTPUT/PART.json. The kernels alternate, so that what changes on the host in
# the meantime meets both; two virtual CPUs, which TCG runs in a thread each. A guest
# that a busy host did not let get anywhere is booted again, once.
load_part() {
	local part=$1 output=$2 programs=$5 pairs=$6 seconds=$7 pair variant image accel guest files=()
	accel=$(accelerator auto)
	for ((pair = 1; pair <= pairs; pair++)); do
		for variant in base patched; do
			image=$3
			[ "$variant" = base ] || image=$4
			note "$part, pair $pair of $pairs: $variant"
			files+=("$output/samples/$part-$variant-$pair.jsonl")
			guest=("${files[-1]}" "$image" "$programs" "/bench/fault_load $part --milliseconds ${seconds}000"
				--smp 2 --memory 2048 --accel "$accel")
			bench_guest "${guest[@]}" || { note "once more" && bench_guest "${guest[@]}"; } ||
				die 1 "fault_load failed in the $variant kernel: see above and ${files[-1]}.console.out"
		done
	done
	jq -n '[inputs | . + { variant: (input_filename | split("/") | last | split("-")[1]),
			pair: (input_filename | split("-") | last | rtrimstr(".jsonl") | tonumber) }]' \
		"${files[@]}" | jq -L "$PVA_LIB" "include \"bench-pairs\"; ${part}_of" >"$output/$part.json"
}

# memory_part OUTPUT MAINLINE PATCHED INITRAMFS: OUTPUT/memory.json.
memory_part() {
	local output=$1 programs=$4 variant image
	for variant in base patched; do
		image=$2
		[ "$variant" = base ] || image=$3
		note "$variant kernel"
		bench_guest "$output/samples/memory-$variant.jsonl" "$image" "$programs" /bench/fault_memory --memory 2048 ||
			die 1 "fault_memory failed in the $variant kernel: see above"
	done
	jq -n --slurpfile base "$output/samples/memory-base.jsonl" \
		--slurpfile patched "$output/samples/memory-patched.jsonl" \
		'{ base: $base[0], patched: $patched[0] }' >"$output/memory.json"
}
