#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# README.md and the cover letter show the figures of results/v7.3/results.json, all of
# them, and that run met the targets.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"

# shellcheck source=scripts/lib/bench-report.sh
. "$PVA_LIB/bench-report.sh"

results=$PVA_TOP/results/v7.3/results.json

# shows FILE FORMAT RESULTS: every line of the table of RESULTS stands in FILE.
shows() {
	local line absent=0
	"$PVA_LIB/figures" "$2" "$3" >"$TAP_DIR/figures" || return
	[ "$(wc -l <"$TAP_DIR/figures")" -gt 20 ] || return
	while IFS= read -r line; do
		grep -qF -- "$line" "$1" && continue
		printf 'not in %s: %s\n' "${1##*/}" "$line"
		absent=1
	done <"$TAP_DIR/figures"
	return $absent
}

# other_results: the same with one instruction more in each kind of fault.
other_results() {
	jq '.exact.cases |= map(if .patched.min then .patched.min += 1 else . end)' "$results" >"$TAP_DIR/other.json"
	! shows "$1" "$2" "$TAP_DIR/other.json"
}

ok "README.md shows the figures of the results" shows "$PVA_TOP/README.md" --markdown "$results"
ok "README.md does not show other figures" other_results "$PVA_TOP/README.md" --markdown
ok "the cover letter shows the figures of the results" \
	shows "$PVA_TOP/patches/cover-letter.txt" --text "$results"
ok "the cover letter does not show other figures" other_results "$PVA_TOP/patches/cover-letter.txt" --text
ok "the results are those of these patches" \
	[ "$(jq -r .patch_ids "$results")" = "$(patch_ids v7.3)" ]
ok "the results met the targets" "$PVA_TOP/scripts/bench" --check "$results"
done_testing
