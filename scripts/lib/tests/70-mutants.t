#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Mutants: small mistakes in the patched kernel (scripts/lib/mutants), each of
# which has to make the tests that its "Kills:" line names fail. They pass on the
# kernel without the mistake, which 50-run.t shows. Each costs a minute for its
# kernel, if that is not in the cache yet. "When: full" is for mistakes in code that
# the series does not touch, which show that a test can fail; "Config:" for those that
# only a kernel of that configuration notices. Both are built only with --full.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/report.sh
. "$PVA_LIB/report.sh"
need_build_packages
need_guest_packages

header() {
	sed -n "s/^$2: //p" "$1" | head -n 1
}

# A kernel that has gone wrong, or has a task hung, does not get better by waiting.
ends_early="oops=panic hung_task_panic=1 sysctl.kernel.hung_task_timeout_secs=20"

# killed MUTANT: boots it with the tests that are to fail, prints which did.
killed() {
	local mutant=$1 base kills config deadline=100 image log=$TAP_DIR/$2 rc=0
	base=$(header "$mutant" Base) && kills=$(header "$mutant" Kills) || return
	config=$(header "$mutant" Config) && config=${config:-fast} || return
	! is_slow "$config" || deadline=600
	selftest_build "$base"
	kernel_build "$base" "mutant:$mutant" "$config"
	image=$KERNEL_IMAGE
	kselftest_job "--expect=patched $(slow_arguments "$config") --gtest_filter=$kills" >"$log-job"
	guest_boot --kernel "$image" --initramfs "$SELFTEST_INITRAMFS" --job "$log-job" --log "$log" \
		--deadline $deadline --append "$ends_early $(kernel_parameters "$config")" || rc=$?
	kernel_json mutant "$log" "$rc" patched | tee "$log.json"
	# It is the tests that have to see it, so they have to have been started.
	# A guest that is only too slow proves nothing: a hang panics before the deadline.
	# kselftest's runner of 6.12 ends with 0 also if tests fail.
	grep -q 'pva: job begins' "$log" &&
		jq -e --argjson panic "$GUEST_PANIC" \
			'(.failures + .console | length) > 0 or .exit_code == $panic' "$log.json" >/dev/null
}

for mutant in "$PVA_LIB"/mutants/*.patch; do
	name=$(basename -s .patch "$mutant")
	reason=$(header "$mutant" Config) && reason=${reason:+wants a $reason kernel}
	[ -z "$(header "$mutant" When)" ] || reason="not a mistake in the series"
	if [ -n "$reason" ] && [ -z "${PVA_FULL-}" ]; then
		skip "$name is killed by $(header "$mutant" Kills)" "only with --full: $reason"
		continue
	fi
	if ! time_for 2; then
		skip "$name is killed by $(header "$mutant" Kills)" "$no_time"
		continue
	fi
	ok "$name is killed by $(header "$mutant" Kills)" killed "$mutant" "$name"
	jq -r '"# \(.failed) of \(.passed + .failed) tests failed, \(.console | length) complaints of the kernel"' \
		"$TAP_DIR/$name.json" 2>/dev/null || true
done
done_testing
