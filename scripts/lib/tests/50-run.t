#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job, for every base: a good verdict. And its negative control: the
# unpatched kernel, taken for a patched one, fails in exactly the tests that
# measured something that the series changes. The first base comes whole, of the
# others the patched kernel, and the unpatched one if there is time.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/report.sh
. "$PVA_LIB/report.sh"

# changed_tests FILE: the tests that measured a fault as mainline has it and the
# series does not.
changed_tests() {
	ktap_lines "$1" | awk '
		/ verdict mainline$/ { changed = 1 }
		/^(not )?ok [0-9]+ / {
			sub(/^(not )?ok [0-9]+ (- )?/, ""); sub(/ #.*/, "")
			if (changed) print
			changed = 0
		}' | sort
}
last_line() {
	tail -n 1 "$OUT" | grep -E "$1" || {
		grep -E "^(problem|verdict):" "$OUT"
		return 1
	}
}
has_rows() {
	[ "$(jq '.kernels | map(.faults | length) | min' "$1/report.json")" -ge 20 ]
}
fails_exactly() {
	changed_tests "$1/base.console.out" >"$TAP_DIR/expected"
	ktap_failed "$2/base.console.out" | sort >"$TAP_DIR/failed"
	[ -s "$TAP_DIR/expected" ] && diff "$TAP_DIR/expected" "$TAP_DIR/failed"
}
# unpatched_in_time BASE: whether its unpatched kernel can be built and booted in time.
unpatched_in_time() {
	local image
	source_prepare "$1"
	image=$(image_dir "$(variant_commit "$1" base)" fast)
	time_for "$([ -e "$image/bzImage" ] && echo 12 || echo 24)"
}
run=("$PVA_TOP/scripts/run" --keep)

controls=() pids=()
for base in $(base_names); do
	only=()
	[ "$base" = "$(base_names | head -n 1)" ] || unpatched_in_time "$base" || only=(--only patched)
	for config in fast ${PVA_FULL:+debug kcsan}; do
		dir=$TAP_DIR/$base-$config
		"${run[@]}" --base "$base" --config "$config" "${only[@]}" --output "$dir" >"$OUT" </dev/null && RC=0 || RC=$?
		ok "$base $config: scripts/run ends well" exits 0
		sed 's/^/# /' "$OUT"
		ok "$base $config: with the verdict" last_line '^verdict: good \([0-9]+ fault kinds;'
		ok "$base $config: at least 20 kinds of fault were measured" has_rows "$dir"
	done
	if [ ${#only[@]} -gt 0 ]; then
		skip "$base: the unpatched kernel" "$no_time"
		continue
	fi
	controls+=("$base")
done

# The controls, all at once: each is one guest.
at_exit guests_end
for base in "${controls[@]}"; do
	"${run[@]}" --base "$base" --only base --expect patched --output "$TAP_DIR/$base-control" \
		>"$TAP_DIR/output-$base" </dev/null &
	pids+=($!)
done
for i in "${!controls[@]}"; do
	base=${controls[i]} OUT=$TAP_DIR/output-${controls[i]}
	wait "${pids[i]}" && RC=0 || RC=$?
	ok "$base: the unpatched kernel does not pass for a patched one" exits 1
	ok "$base: it fails in exactly the tests of what the series changes" \
		fails_exactly "$TAP_DIR/$base-fast" "$TAP_DIR/$base-control"
	printf '# %s: %d tests fail\n' "$base" "$(wc -l <"$TAP_DIR/failed")"
done
done_testing
