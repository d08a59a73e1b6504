# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# results.json and what is made of it: judgement, tables, chart, comparison. Its
# schema is described in scripts/lib/bench-schema.md. Needs common.sh.

PVA_BENCH_SCHEMA=per-vma-anon/bench/1

# patch_ids BASE: what git calls the changes of the series, whatever their changelogs say.
patch_ids() {
	local file
	while IFS= read -r file; do
		git patch-id --stable <"$file" | cut -d' ' -f1
	done < <(base_patches "$1") | paste -sd' '
}

# results_begin BASE MAINLINE PATCHED: results.json without measurements.
results_begin() {
	jq -n --arg schema "$PVA_BENCH_SCHEMA" --arg base "$1" --arg release "$(base_field "$1" release)" \
		--arg date "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --arg qemu "$(qemu-system-x86_64 --version | head -n 1)" \
		--arg compiler "$(gcc --version | head -n 1)" \
		--arg patches "$(patch_ids "$1")" --arg config "$(config_lines "$2" | sha256sum | cut -d' ' -f1)" \
		--arg mainline "$(sha256sum <"$2/bzImage" | cut -d' ' -f1)" \
		--arg patched "$(sha256sum <"$3/bzImage" | cut -d' ' -f1)" \
		'{ schema: $schema, base: $base, release: $release, date: $date,
		   versions: { qemu: $qemu, compiler: $compiler },
		   patch_ids: $patches, config_sha256: $config, kernel_sha256: { base: $mainline, patched: $patched } }'
}

# results_add RESULTS PART FILE: FILE's JSON becomes member PART.
results_add() {
	jq --slurpfile part "$3" --arg name "$2" '. + { ($name): $part[0] }' "$1" >"$1.new" && mv "$1.new" "$1"
}

# results_judge RESULTS: adds the targets to the file.
results_judge() {
	judged "$1" >"$1.new" && mv "$1.new" "$1"
}

# judged RESULTS: prints them with the targets, whatever judgement is in the file.
judged() {
	jq 'del(.targets)' "$1" |
		jq --arg more "$(costs_more "$(jq -r .base "$1")")" -f "$PVA_LIB/bench-targets.jq"
}

# results_valid FILE: dies when FILE is no results.json of this schema.
results_valid() {
	local schema
	[ -r "$1" ] || die 2 "'$1': cannot be read; scripts/bench writes such a file"
	schema=$(jq -r '.schema? // "none"' "$1" 2>/dev/null) || schema=''
	[ -n "$schema" ] || # an empty file is none either
		die 2 "'$1': is no JSON; give the results.json of a run of scripts/bench"
	[ "$schema" = "$PVA_BENCH_SCHEMA" ] ||
		die 2 "'$1': its schema is '$schema', not '$PVA_BENCH_SCHEMA': measure again with this scripts/bench"
}

# targets_of FILE: the targets as a JSON array, judged now: what the file itself
# says about them is not believed.
targets_of() {
	jq -e '.exact.cases' "$1" >/dev/null || die 2 "'$1': has no exact part: run scripts/bench --exact"
	judged "$1" | jq '.targets'
}

# targets_table FILE: the missed ones, and how many of each target are met.
targets_table() {
	targets_of "$1" | jq -r '
		(group_by(.target)[] | ["\(map(select(.met)) | length)/\(length)", "met", .[0].target]),
		(.[] | select(.met | not) | ["MISSED", .case, "\(.target): \(.measured), limit \(.limit)"])
		| @tsv' | column -t -s $'\t'
}

# targets_verdict FILE: one line, and the exit code.
targets_verdict() {
	local missed all
	missed=$(targets_of "$1" | jq '[.[] | select(.met | not)] | length')
	all=$(targets_of "$1" | jq length)
	if [ "$missed" -ne 0 ]; then
		printf 'verdict: %d of %d targets missed\n' "$missed" "$all"
		return 1
	fi
	printf 'verdict: all %d targets met\n' "$all"
}

# parts_of FILE: the parts that were measured, in the order of a report.
parts_of() {
	jq -r '. as $all | ("exact", "contention", "workloads", "scaling", "memory", "variants") | select($all[.])' "$1"
}

# results_table FILE: every part as aligned tables.
results_table() {
	local part
	for part in $(parts_of "$1"); do
		printf '\n%s\n' "$(part_title "$part")"
		jq -r -L "$PVA_LIB" "include \"bench-rows\"; ${part}_rows | @tsv" "$1" | column -t -s $'\t'
	done
}

part_title() {
	case $1 in
	exact) echo "Instructions per fault (mmap_lock acquisitions, t: by trylock)" ;;
	contention) echo "Faults beside a thread that keeps taking mmap_lock for write" ;;
	workloads) echo "Known workloads, operations per second" ;;
	scaling) echo "Instructions per fault as the process grows" ;;
	memory) echo "What many huge zero page reads leave behind" ;;
	variants) echo "Instructions per fault if the series were made differently (scripts/lib/variants)" ;;
	esac
}

# markdown_of: tab-separated rows with a heading to a Markdown table.
markdown_of() {
	awk -F'\t' '{
		printf "|"; for (i = 1; i <= NF; i++) printf " %s |", $i; print ""
		if (NR == 1) { printf "|"; for (i = 1; i <= NF; i++) printf i == 1 ? " --- |" : " ---: |"; print "" }
	}'
}

# results_report DIR: the table on stdout, DIR/report.md and DIR/*.svg.
results_report() {
	local results=$1/results.json part
	results_table "$results"
	{
		printf '<!-- SPDX-License-Identifier: GPL-2.0 -->\n# What a page fault costs, mainline beside patched\n\n'
		jq -r '"Linux \(.release), \(.date), \(.versions.qemu), \(.versions.compiler)."' "$results"
		for part in $(parts_of "$results"); do
			printf '\n## %s\n\n' "$(part_title "$part")"
			if [ "$part" = exact ]; then printf '![patched / mainline](cost.svg)\n\n'; fi
			if [ "$part" = scaling ]; then printf '![instructions per fault](scaling.svg)\n\n'; fi
			jq -r -L "$PVA_LIB" "include \"bench-rows\"; ${part}_rows | @tsv" "$results" | markdown_of
		done
		if jq -e .targets "$results" >/dev/null; then
			printf '\n## Targets\n\n'
			jq -r '["target", "case", "limit", "measured", "met"],
				(.targets[] | [.target, .case, .limit, .measured, if .met then "yes" else "**missed**" end])
				| @tsv' "$results" | markdown_of
		fi
	} >"$1/report.md"
	if jq -e .exact "$results" >/dev/null; then cost_chart "$results" >"$1/cost.svg"; fi
	if jq -e .scaling "$results" >/dev/null; then scaling_chart "$results" >"$1/scaling.svg"; fi
	if jq -e .targets "$results" >/dev/null; then
		printf '\nTargets\n'
		targets_table "$results"
	fi
}

# cost_chart FILE: an SVG bar chart of patched / mainline per kind of fault.
cost_chart() {
	local rows
	rows=$(jq -r '[.exact.cases[] | select(.ratio)] | reverse | to_entries[]
		| [.key, .value.ratio, .value.name] | @tsv' "$1")
	gnuplot <<-PLOT
		set terminal svg noenhanced size 900,$((110 + 20 * $(wc -l <<<"$rows"))) font "sans-serif,12" background "white"
		set title "Instructions per fault, patched / mainline (shorter is better)"
		\$rows <<EOD
		$rows
		EOD
		set xrange [0.4:1.2]
		set yrange [-0.7:$(wc -l <<<"$rows") - 0.3]
		set ytics nomirror scale 0
		set xtics 0.1 nomirror
		set grid xtics lc rgb "#dddddd"
		set border 3
		set style fill solid noborder
		set arrow 1 from 1,graph 0 to 1,graph 1 nohead lc rgb "#444444" front
		unset key
		set datafile separator "\t"
		colour(r) = r < 0.9995 ? 0x2a7f62 : r <= 1 ? 0x8da0b3 : 0xc0392b
		plot \$rows using (0.5 * (\$2 + 0.4)):1:(0.5 * (\$2 - 0.4)):(0.38):(colour(\$2)):ytic(3) with boxxy lc rgb variable, \
			\$rows using 2:1:(sprintf("%.3f", \$2)) with labels left offset 0.5,0 font ",10"
	PLOT
}

# scaling_chart FILE: an SVG plot of instructions against VMAs and threads.
scaling_chart() {
	local data axis
	data=$(mktemp -d)
	jq -r '[.scaling[] | .axis + "_" + .case + "_" + .variant] | unique[]' "$1" | while read -r axis; do
		jq -r --arg which "$axis" '.scaling | sort_by(.size)[]
			| select(.axis + "_" + .case + "_" + .variant == $which) | [.size, .min] | @tsv' "$1" \
			>"$data/${axis//\//-}"
	done
	(
		cd "$data" || exit
		gnuplot <<-'PLOT'
			set terminal svg noenhanced size 900,400 font "sans-serif,12" background "white"
			set multiplot layout 1,2 title "Instructions per fault as the process grows"
			set logscale x
			set yrange [0:*]
			set key bottom right
			set grid lc rgb "#dddddd"
			do for [axis in "vmas threads"] {
				set xlabel axis eq "vmas" ? "VMAs in the process" : "threads in the process"
				files = system("ls | grep ^" . axis . "_")
				plot for [f in files] f using 1:2 with linespoints title f[strlen(axis) + 2:] noenhanced
			}
		PLOT
	)
	rm -r "$data"
}

# results_compare A B: the exact parts of two results, patched beside patched.
results_compare() {
	local file
	for file; do
		results_valid "$file"
		jq -e '.exact.cases | length > 0' "$file" >/dev/null ||
			die 2 "$file has no exact part: there is nothing to compare"
	done
	jq -r -n -L "$PVA_LIB" --slurpfile a "$1" --slurpfile b "$2" \
		'include "bench-rows"; compare_rows($a[0]; $b[0]) | @tsv' | column -t -s $'\t'
}
