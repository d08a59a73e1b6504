# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The rows of scripts/review that run something: tools/testing/vma, and every
# step of the series booted and selftested. Needs review-rows.sh.

review_vma() {
	local log tree rc=0
	log=$(row_log vma)
	tree=$(review_tree patched)
	if [ ! -d "$tree/tools/testing/vma" ]; then
		row skip vma "this tree has no tools/testing/vma"
		return
	fi
	need_build_packages
	need_packages "liburcu-dev:/usr/include/$(gcc -print-multiarch)/urcu.h"
	vma_test "$tree" >"$log" 2>&1 </dev/null || rc=$?
	if [ $rc -eq 0 ]; then
		row good vma "tools/testing/vma: $(grep -E 'tests? (run|passed)' "$log" | tail -n 1)"
	elif vma_test "$(review_tree base)" >"$log.unpatched" 2>&1 </dev/null; then
		tail -n 12 "$log" >"$log.tail"
		row bad vma "tools/testing/vma fails" "$log.tail"
	else
		row skip vma "without the series it fails too: $(grep -m 1 -E 'error:|undefined reference|FAIL' "$log.unpatched")"
	fi
}

# vma_test TREE: builds and runs it, and leaves TREE clean.
vma_test() {
	local rc=0
	make -C "$1/tools/testing/vma" -j"$PVA_JOBS" && (cd "$1/tools/testing/vma" && ./vma) || rc=$?
	make -C "$1/tools/testing/vma" clean >/dev/null 2>&1 || true
	git -C "$1" clean -q -f -d tools
	return $rc
}

# bisect_key VARIANT: what the result of booting a variant depends on.
bisect_key() {
	key_of bisect "$(tree_id "$1")" "$(selftest_key "$REVIEW_BASE")" \
		"$(cd "$PVA_TOP" && sha256sum Kconfig.fragment scripts/run scripts/lib/*.sh scripts/lib/{qemu.config,allowed-skips} | grep -v review)"
}

# bisect_run VARIANT EXPECT: scripts/run's own judgement.
bisect_run() {
	local dir=$REVIEW_OUTPUT/bisect-$REVIEW_BASE-$1
	"$PVA_TOP/scripts/run" --base "$REVIEW_BASE" --variant "$1" --expect "$2" --output "$dir" \
		>"$dir.out" 2>"$dir.err" </dev/null || return
	tail -n 1 "$dir.out"
}

# Every step of the series is built, booted and selftested. Before the last one
# the selftest finds out by itself what the kernel promises.
review_bisect() {
	local i count variant expect verdict log
	if [ ! -x "$PVA_TOP/scripts/run" ] || [ -n "$REVIEW_QUICK" ]; then
		row skip bisect "${REVIEW_QUICK:+not part of --quick}"
		return
	fi
	count=$(base_patches "$REVIEW_BASE" | wc -l)
	for ((i = 1; i <= count; i++)); do
		variant=patch$i expect=auto
		[ "$i" -lt "$count" ] || variant=patched expect=patched
		log=$REVIEW_OUTPUT/bisect-$REVIEW_BASE-$variant
		if verdict=$(cached "$(bisect_key "$variant")" bisect_run "$variant" "$expect"); then
			row good "bisect $variant" "$verdict"
		else
			cat "$log.err" "$log.out" >"$log.log" 2>/dev/null || true
			row bad "bisect $variant" "$(tail -n 1 "$log.log")" "$log.log"
		fi
	done
}
