# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# From what the guests printed to a table, its JSON twin and a verdict. Needs
# common.sh and guest.sh.

PVA_ALLOWED_SKIPS=$PVA_LIB/allowed-skips

# ktap_lines FILE: the KTAP of the job, without carriage returns and without the
# "# " that the kselftest runner puts before the lines of a test program.
ktap_lines() {
	tr -d '\r' <"$1" | sed -E 's/^(# )+//'
}

# ktap_counts FILE: "PASSED FAILED SKIPPED" of the test cases in the job's KTAP.
# The runner's own line for the whole program counts when it ended in another way
# than by saying that cases failed (exit code 1), or when none did.
ktap_counts() {
	ktap_lines "$1" | awk '
		/^not ok [0-9]+ selftests: .*# exit=1$/ { plain++; next }
		/^not ok [0-9]+ selftests: / { died++; next }
		/^ok [0-9]+ selftests: / { next }
		/^ok [0-9]+ .*# SKIP/ { skipped++; next }
		/^ok [0-9]+ / { passed++; next }
		/^not ok [0-9]+ / { failed++ }
		END { print passed + 0, failed + died + (failed + died ? 0 : plain), skipped + 0 }'
}

# ktap_failed FILE: the names of the test cases that failed, one a line, or the
# program that did.
ktap_failed() {
	ktap_lines "$1" | awk '
		/^not ok [0-9]+ selftests: .*# exit=1$/ { plain = plain $0 "\n"; next }
		/^not ok [0-9]+ selftests: / { print; n++; next }
		/^not ok [0-9]+ / { sub(/^not ok [0-9]+ (- )?/, ""); sub(/ #.*/, ""); print; n++ }
		END { if (!n) printf "%s", plain }'
}

# ktap_skipped FILE: the names of the test cases that were skipped, one a line, each with
# a tab and the reason after it.
ktap_skipped() {
	ktap_lines "$1" | sed -nE '/^ok [0-9]+ selftests: /d; s/^ok [0-9]+ (- )?(.*[^ ]) *# SKIP ?(.*)/\2\t\3/p'
}

# fault_rows FILE: "KIND MMAP_LOCK TRYLOCK ANON_VMA VERDICT TEST" of every fault kind
# measured; TEST is the case that did, empty if that never ended.
fault_rows() {
	ktap_lines "$1" | awk '
		function put(test, i) {
			for (i = 1; i <= n; i++) print row[i], test
			n = 0
		}
		$1 == "fault" && $3 == "mmap_lock" && $5 == "trylock" && NF >= 10 && !($2 in seen) {
			seen[$2] = 1
			row[++n] = $2 " " $4 " " $6 " " $8 " " $10
		}
		/^(not )?ok [0-9]+ / { sub(/^(not )?ok [0-9]+ (- )?/, ""); sub(/ *#.*/, ""); put($0) }
		END { put("") }'
}

# touched_functions BASE: the functions that the series changes or adds, one a line.
touched_functions() {
	mkdir -p "$PVA_GIT/info" # hunk headers shall name functions, not labels
	grep -qs '^\*\.\[ch\] diff=cpp' "$PVA_GIT/info/attributes" || echo '*.[ch] diff=cpp' >>"$PVA_GIT/info/attributes"
	git_cache diff -U0 "$(variant_commit "$1" base)" "$(variant_commit "$1" patched)" -- '*.[ch]' |
		sed -nE 's/^(@@ .* @@ |\+)([a-z].*\b)?([a-z_0-9]+)\(.*/\3/p' | sort -u
}

# console_complaints LOG: the complaints of the kernel, of KCSAN's only those that
# name a function of the file PVA_KCSAN_FUNCTIONS.
console_complaints() {
	guest_splats "$1" | {
		[ -n "${PVA_KCSAN_FUNCTIONS-}" ] || exec cat
		awk 'NR == FNR { function_of_ours[$1]; next }
			!/BUG: KCSAN:/ { print; next }
			{ n = split($0, word, /[^a-zA-Z_0-9]+/)
			  for (i = 1; i <= n; i++) if (word[i] in function_of_ours) { print; next } }' \
			"$PVA_KCSAN_FUNCTIONS" -
	}
}

# kernel_json VARIANT LOG RC EXPECT: what one boot gave, as a JSON object.
kernel_json() {
	local counts
	read -ra counts < <(ktap_counts "$2.out")
	jq -n --arg variant "$1" --arg expect "$4" --argjson rc "$3" --argjson passed "${counts[0]}" \
		--argjson failed "${counts[1]}" --argjson skipped "${counts[2]}" \
		--rawfile failures <(ktap_failed "$2.out") --rawfile splats <(console_complaints "$2") \
		--rawfile rows <(fault_rows "$2.out") --rawfile skips <(ktap_skipped "$2.out") \
		'def lines: split("\n") | map(select(. != ""));
		{ variant: $variant, expect: $expect, exit_code: $rc, passed: $passed, failed: $failed, skipped: $skipped,
		  failures: ($failures | lines), skips: ($skips | lines | map(split("\t") | { test: .[0], reason: .[1] })), console: ($splats | lines),
		  faults: ($rows | lines | map(split(" ") | { kind: .[0], mmap_lock: (.[1] | tonumber? // null),
			trylock: (.[2] | tonumber? // null), anon_vma: (.[3] | tonumber? // null),
			verdict: .[4], test: .[5] })) }'
}

# report_table REPORT.JSON: one line per fault kind, mainline beside patched.
# mmap_lock counts acquisitions per fault, those by trylock in brackets;
# instructions are per fault, where scripts/lib/fault-cost measured them.
report_table() {
	{
		printf 'fault\tmainline mmap_lock\tpatched mmap_lock\tmainline insns\tpatched insns\tratio\n'
		jq -r '
			def lock: if . == null then "-" elif (.trylock // 0) > 0 then "\(.mmap_lock) (\(.trylock) trylock)"
				else "\(.mmap_lock)" end;
			def number: if . == null then "-" else tostring end;
			(.kernels | map({ key: .variant, value: (.faults | map({ key: .kind, value: . }) | from_entries) })
				| from_entries) as $f
			| (.cost // {}) as $cost
			| [.kernels[].faults[].kind] | reduce .[] as $k ([]; if index([$k]) then . else . + [$k] end)
			| .[] | . as $kind | ($cost[$kind] // {}) as $c
			| [$kind, ($f.base[$kind] | lock), ($f.patched[$kind] | lock), ($c.mainline | number),
			   ($c.patched | number),
			   (if $c.mainline and $c.patched then ($c.patched / $c.mainline * 1000 | round / 1000 | tostring)
			    else "-" end)] | @tsv' "$1"
	} | column -t -s $'\t'
}

# report_problems REPORT.JSON: a line for everything that makes the verdict bad. What
# only one kernel was measured with is no problem if the other one's test said why. A
# write after a read is judged together with that read: what mainline pays at the
# read may come later. A skip has to be in scripts/lib/allowed-skips, but with --filter or
# the user's own kernel.
report_problems() {
	jq -r '.filter as $filter | [.base, .config] as $run | (.tree // "") as $tree |
		($allowed | split("\n") | map(select(test("^[^#]")) | split("\t"))) as $allowed |
		def may_be($kernel): . as $skip | any($allowed[]; . as [$test, $where, $says]
			| any($where | split(" ")[]; IN(($run + [$kernel.variant, $kernel.expect, "any"])[]))
			and ($skip.test | test($test)) and ($skip.reason | test($says)));
		(select((.cost_failed // "") != "")
			| "the instructions per fault could not be counted: fault-cost ended with \(.cost_failed)"),
		def race: select(contains("BUG: KCSAN:")) | sub("^.*?: BUG"; "BUG");
		([.kernels[] | select(.variant == "base") | .console[] | race]) as $known |
		(.kernels[] | . as $k
		| (.failures[] | "\($k.variant): \(.) failed"),
		  (.console[] | select([race] - (if $k.variant == "base" then [race] else $known end) != []
				or (contains("BUG: KCSAN:") | not))
			| "\($k.variant): the kernel complained during \(.)"),
		  (select(.exit_code != 0 and (.failures | length) == 0)
			| "\($k.variant): the guest ended with \(.exit_code)"),
		  (select(.passed == 0) | "\($k.variant): no test passed"),
		  (select(($filter // "") == "" and (.faults | length == 0)) | "\($k.variant): no fault was measured"),
		  (select(($filter // "") == "" and $tree == "") | [.skips[] | select(may_be($k) | not)] | group_by(.reason)[]
			| "\($k.variant): \(.[0].test)\(if length > 1 then " and \(length - 1) more" else "" end) skipped, " +
			  "which scripts/lib/allowed-skips does not know: \(.[0].reason)"),
		  (.faults[] | select($k.expect != "auto" and .verdict != $k.expect
				and .verdict != "both")
			| "\($k.variant): \(.kind): verdict \(.verdict), \(.mmap_lock) mmap_lock per fault")),
		((.kernels | map({ key: .variant, value: .faults }) | from_entries) as $f
		| select($f.base and $f.patched)
		| ($f.base | map({ key: .kind, value: . }) | from_entries) as $b
		| ($f.patched | map({ key: .kind, value: . }) | from_entries) as $p
		| (def missing($other): map(select(.kind | in($other[0]) | not)
				| select(.test | IN($other[1][]) | not) | .kind);
			def skips($variant): [.kernels[] | select(.variant == $variant).skips[].test];
			[$b, skips("base")] as $in_base | [$p, skips("patched")] as $in_patched
			| $f.base + $f.patched | missing($in_base) + missing($in_patched) | .[]
			| "\(.): measured on one kernel only"),
		  ($f.patched[] | .kind as $kind | ($kind | sub("write_after_read"; "first_read")) as $read
		| [$b, $p | if $read == $kind then .[$kind].mmap_lock // 0
			else (.[$kind].mmap_lock // 0) + (.[$read].mmap_lock // 0) end] as [$mainline, $patched]
		# A write takes the lock for the anon_vma that mainline had prepared earlier, or
		# for an access that then fails (a guard region).
		# A private hugetlb file without cached pages has to allocate whatever is read,
		# if it is not beyond its end, or if userfaultfd does not see to it.
		# Write protection is where userfaultfd sees a fault before the anon_vma is
		# asked for; what comes after the wait is under the mmap_lock anyway.
		| select($b[$kind] and $patched > $mainline and
			($kind | startswith("uffd/protected_zero_page/") | not) and
			($kind | startswith("signal/read_of_empty_file/hugetlb") | not) and
			($kind | test("^uffd/missing(_in_empty_file)?/read_hugetlb") | not) and
			(($kind | test("/write_") | not) or
			 ($p[$kind].anon_vma // 0) <= ($b[$kind].anon_vma // 0)))
		| "\($kind)\(if $read == $kind then "" else " and the read before" end): " +
		  "\($patched) mmap_lock per fault, mainline \($mainline)")),
		(.cost // {} | . as $cost | keys[] as $kind
		| ($kind | sub("write_after_read"; "first_read")) as $read
		| ([$kind, $read] | unique | map($cost[.] // empty)) as $both
		| select(($both | map(.patched) | add) > ($both | map(.mainline) | add))
		| select($kind | IN($more | split(" ")[]) | not)
		| "\($kind): \($cost[$kind].patched) instructions per fault, mainline \($cost[$kind].mainline)")' \
		--rawfile allowed "$PVA_ALLOWED_SKIPS" --arg more "$(costs_more "$(jq -r .base "$1")")" "$1"
}

# report_verdict REPORT.JSON: the last line, and the exit code.
report_verdict() {
	local problems summary
	problems=$(report_problems "$1")
	summary=$(jq -r '[.kernels[] | "\(.variant) \(.passed) passed, \(.failed) failed, \(.skipped) skipped"]
		| join("; ")' "$1")
	if [ -n "$problems" ]; then
		head -n 20 <<<"$problems" | sed 's/^/problem: /'
		printf 'verdict: bad (%d problems; %s)\n' "$(wc -l <<<"$problems")" "$summary"
		return 1
	fi
	printf 'verdict: good (%d fault kinds; %s)\n' \
		"$(jq '[.kernels[].faults[].kind] | unique | length' "$1")" "$summary"
}
