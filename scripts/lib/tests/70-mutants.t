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

# mutant_images MUTANT: builds what is to be booted, prints the kernel's directory and
# the selftest's initramfs.
mutant_images() {
	local base config
	base=$(header "$1" Base) && config=$(header "$1" Config) || return
	selftest_build "$base" >&2
	kernel_build "$base" "mutant:$1" "${config:-fast}" >&2
	printf '%s %s\n' "$KERNEL_IMAGE" "$SELFTEST_INITRAMFS"
}

# killed MUTANT NAME KERNEL INITRAMFS: boots it with the tests that are to fail, prints
# which did.
killed() {
	local mutant=$1 kills config deadline=200 log=$TAP_DIR/$2 rc=0
	[ -n "$3" ] || return
	kills=$(header "$mutant" Kills) && config=$(header "$mutant" Config) && config=${config:-fast} || return
	! is_slow "$config" || deadline=900
	kselftest_job "--expect=patched $(slow_arguments "$config") --gtest_filter=$kills" >"$log-job"
	guest_boot --kernel "$3" --initramfs "$4" --job "$log-job" --log "$log" \
		--deadline $deadline --append "$ends_early $(kernel_parameters "$config")" || rc=$?
	kernel_json mutant "$log" "$rc" patched | tee "$log.json"
	# It is the tests that have to see it, so they have to have been started.
	# A guest that is only too slow proves nothing: a hang panics before the deadline.
	# kselftest's runner of 6.12 ends with 0 also if tests fail.
	grep -q 'pva: job begins' "$log" &&
		jq -e --argjson panic "$GUEST_PANIC" \
			'(.failures + .console | length) > 0 or .exit_code == $panic' "$log.json" >/dev/null
}

# Two guests at a time, since most tests have but one thread: begun in begin(), judged in
# the same order in judge().
declare -A guests
begun=()
at_exit guests_end
begin() {
	local mutant=$1 name kernel='' initramfs=''
	name=$(basename -s .patch "$mutant")
	read -r kernel initramfs < <(mutant_images "$mutant") || true
	(
		PVA_CHILD_FILE='' # that is for what runs in the foreground, a build
		killed "$mutant" "$name" "$kernel" "$initramfs"
	) >"$TAP_DIR/$name.said" 2>&1 &
	guests[$name]=$!
	begun+=("$name")
}
said() {
	cat "$TAP_DIR/$1.said"
	return "$2"
}
judge() {
	local name=${begun[0]} rc=0
	begun=("${begun[@]:1}")
	wait "${guests[$name]}" || rc=$?
	ok "$name is killed by $(header "$PVA_LIB/mutants/$name.patch" Kills)" said "$name" $rc
	jq -r '"# \(.failed) of \(.passed + .failed) tests failed, \(.console | length) complaints of the kernel"' \
		"$TAP_DIR/$name.json" 2>/dev/null || true
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
	[ ${#begun[@]} -lt 2 ] || judge
	begin "$mutant"
done
while [ ${#begun[@]} -gt 0 ]; do
	judge
done
done_testing
