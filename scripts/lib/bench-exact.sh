# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The exact part of the benchmark: instructions and events per fault. Needs
# bench-guest.sh.

# exact_run FILE IMAGE INITRAMFS ARGUMENTS: JSON lines of fault_cost in FILE.
exact_run() {
	local rc=0
	bench_guest "$1" "$2" "$3" "/bench/fault_cost $4" --icount --memory 1024 || rc=$?
	case $rc in
	0) ;;
	2) die 2 "the benchmark refused its arguments ($4): see above" ;;
	4) die 4 "nothing was measured: see above" ;;
	*) die 1 "fault_cost failed on $2: see above and $1.console" ;;
	esac
	[ "$(jq -s '[.[] | select(.record == "run" and .missing_events.mmap_lock)] | length' "$1")" = 0 ] ||
		die 4 "the kernel in $2 lacks the mmap_lock tracepoints (CONFIG_TRACEPOINTS," \
			"CONFIG_PERF_EVENTS, CONFIG_ENABLE_DEFAULT_TRACERS): build it with Kconfig.fragment"
}

# exact_json DIR RUNS: the results of DIR/VARIANT-RUN.jsonl as one JSON object.
exact_json() {
	local files=() run variant
	for variant in base patched; do
		for ((run = 1; run <= $2; run++)); do
			files+=("$1/$variant-$run.jsonl")
		done
	done
	jq -n '[inputs | . + { variant: (input_filename | split("/") | last | split("-") | first),
			run: (input_filename | split("-") | last | rtrimstr(".jsonl") | tonumber) }]' \
		"${files[@]}" | jq -f "$PVA_LIB/bench-exact.jq"
}

# exact_part OUTPUT MAINLINE PATCHED INITRAMFS RUNS ARGUMENTS: OUTPUT/exact.json.
# The kernels alternate, so that nobody can say that one of them ran later.
exact_part() {
	local output=$1 mainline=$2 patched=$3 programs=$4 runs=$5 arguments=$6 run
	for ((run = 1; run <= runs; run++)); do
		note "run $run of $runs: mainline, then patched"
		exact_run "$output/samples/base-$run.jsonl" "$mainline" "$programs" "$arguments"
		exact_run "$output/samples/patched-$run.jsonl" "$patched" "$programs" "$arguments"
	done
	exact_json "$output/samples" "$runs" >"$output/exact.json"
}

# case_valid OPTION PATTERN: dies when the PATTERN is none that the guest's shell takes
# between quotes as it is.
case_valid() {
	local valid='^[][A-Za-z0-9_.*?/!-]+$'
	[[ $2 =~ $valid ]] || die 2 "$1 '$2': a kind of fault has letters, digits and _/- only, a pattern *?[]! too"
}

# case_known PATTERN: dies when no kind of fault matches.
case_known() {
	local name description
	# shellcheck disable=SC2034,SC2053 # the pattern is one
	while IFS=$'\t' read -r name description; do
		[[ $name != $1 ]] || return 0
	done < <("$PVA_CACHE/build/bench/root/bench/fault_cost" --list)
	die 2 "unknown kind of fault '$1': scripts/bench --list names them all"
}

# scaling_part OUTPUT MAINLINE PATCHED INITRAMFS: OUTPUT/scaling.json: the cost of
# two kinds of fault as the process grows.
scaling_part() {
	local output=$1 programs=$4 variant image size file
	local cases="--case anon/first_write/no_anon_vma --case thp/first_read/no_anon_vma"
	for variant in base patched; do
		image=$2
		[ "$variant" = base ] || image=$3
		for size in "--vmas 10" "--vmas 1000" "--vmas 60000" "--threads 1" "--threads 2" \
			"--threads 4" "--threads 8"; do
			file=$output/samples/scaling-$variant-${size//[- ]/}.jsonl
			note "$variant kernel: $size"
			exact_run "$file" "$image" "$programs" "--samples 100 --event-samples 1 $size $cases"
			jq -c --arg variant "$variant" --arg size "$size" 'select(.record == "cost")
				| { variant: $variant, axis: ($size | split(" ")[0][2:]),
				    size: ($size | split(" ")[1] | tonumber), case: .name, min, median }' "$file"
		done
	done | jq -s . >"$output/scaling.json"
}

# variants_part OUTPUT MAINLINE PATCHED INITRAMFS BASE CONFIG: OUTPUT/variants.json: the
# cost on both kernels, and if the series were made differently: with each of the diffs in
# variants/ on top of it.
variants_part() {
	local output=$1 programs=$4 diff name image file
	local names=(base patched) images=("$2" "$3")
	for diff in "$PVA_LIB"/variants/*.diff; do
		names+=("$(basename -s .diff "$diff")")
		image=$(kernel_image "$5" "mutant:$diff" "$6") || exit
		images+=("$image")
	done
	for name in "${!names[@]}"; do
		file=$output/samples/variant-${names[name]}.jsonl
		note "${names[name]}"
		exact_run "$file" "${images[name]}" "$programs" "--samples 100 --heavy-samples 3 --event-samples 1"
		jq -c --arg variant "${names[name]}" 'select(.record == "cost")
			| { variant: $variant, case: .name, min, median }' "$file"
	done | jq -s . >"$output/variants.json"
}
