#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Guests that go wrong in every way: told apart, the console's end shown, no QEMU
# left behind. The kernel is the real one, what runs in it is not.
# shellcheck disable=SC2016 # the jobs are expanded in the guest
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/report.sh
. "$PVA_LIB/report.sh"
need_build_packages
need_guest_packages
kernel_build v7.3 base fast
kernel=$(kernel_image v7.3 base fast)
log=$TAP_DIR/console

# boot JOB [OPTION...]: boots it with that job.
boot() {
	printf '%s\n' "$1" >"$TAP_DIR/job"
	shift
	guest_boot --kernel "$kernel" --initramfs "$TAP_DIR/initramfs" --job "$TAP_DIR/job" --log "$log" \
		--deadline 120 "$@"
}
printed() {
	tr -d '\r' <"$log.out" | grep -qx "$1"
}
# An init of its own instead of ours.
boot_init() {
	local root=$TAP_DIR/root
	rm -rf "$root" && mkdir -p "$root/bin" && cp /bin/busybox "$root/bin/"
	printf '#!/bin/busybox sh\n%s\n' "$1" >"$root/init"
	chmod +x "$root/init"
	cpio_of "$root" >"$TAP_DIR/initramfs"
	boot true
}
no_qemu_left() {
	local left
	left=$(pgrep -af "^qemu-system.*$TAP_DIR" || true)
	[ -z "$left" ] || {
		echo "$left"
		return 1
	}
}

# The real kselftest runner around four programs.
tests=$TAP_DIR/kselftest/four
mkdir -p "$tests"
tree=$(kernel_tree v7.3 base)
cp -r "$tree/tools/testing/selftests"/{kselftest,run_kselftest.sh} "$TAP_DIR/kselftest/"
printf '#!/bin/sh\necho "ok 1 fine"\n' | tee "$tests/first" >"$tests/last"
printf '#!/bin/sh\nkill -SEGV $$\n' >"$tests/crashes"
printf '#!/bin/sh\nsleep 300\n' >"$tests/takes_long"
chmod +x "$tests"/*
printf 'timeout=5\n' >"$tests/settings"
printf 'four:%s\n' first crashes takes_long last >"$TAP_DIR/kselftest/kselftest-list.txt"
initramfs_pack "$TAP_DIR/initramfs" "$TAP_DIR/kselftest"
cp "$TAP_DIR/initramfs" "$TAP_DIR/good"

capture boot 'echo "two processors: $(nproc)"; grep -c hugetlbfs /proc/mounts; exit 7'
ok "a job's output and exit code come back" exits 7
ok "  its output" printed 'two processors: 2'
capture boot 'cd /kselftest && ./run_kselftest.sh'
ok "a test that crashes and one that takes too long are failures, the rest runs" exits 1
counts() {
	ktap_failed "$log.out" | tee "$TAP_DIR/failed"
	ktap_counts "$log.out"
	cat "$log.out"
	[ "$(ktap_counts "$log.out")" = "2 2 0" ] && grep -q 'crashes # exit=139' "$TAP_DIR/failed" &&
		grep -q 'takes_long # TIMEOUT 5 seconds' "$TAP_DIR/failed"
}
ok "  and each is named" counts
capture boot 'sleep 300' --deadline 30
ok "a guest that hangs" exits $GUEST_HANG 'did not finish in 30s; the end of .*console' 'pva: job begins'
ok "  leaves no QEMU" no_qemu_left
capture boot 'reboot -f'
ok "a guest that ends before its job does" exits $GUEST_DIED 'the guest ended before its job did'
capture boot 'nproc >/dev/ttyS1; exit $(nproc)' --icount
ok "--icount: one processor" exits 1

capture boot_init 'exit 1'
ok "a kernel that panics" exits $GUEST_PANIC 'the kernel panicked: .*Attempted to kill init' 'Kernel Offset: '
capture boot_init '/bin/busybox mkdir /dev; /bin/busybox mount -t devtmpfs devtmpfs /dev
echo "Oops: int3: 0000 [#1] SMP" >/dev/kmsg; exit 1'
ok "one that trips over QEMU is booted once more" exits $GUEST_PANIC 'was being patched: booting once more'
twice() {
	[ "$(grep -c "$1" "$OUT")" -eq 2 ]
}
ok "  and no more than that" twice 'the kernel panicked'
PVA_BOOT_SECONDS=15
capture boot_init '/bin/busybox sleep 300'
ok "a kernel that never gets to init" exits $GUEST_NO_INIT 'did not get to init in 15s; the end of' 'Run /init as init process'
ok "  is booted once more, and no more than that" twice 'did not get to init in 15s'
PVA_BOOT_SECONDS=120
ok "  leaves no QEMU" no_qemu_left
cp "$TAP_DIR/good" "$TAP_DIR/initramfs"
mkdir "$TAP_DIR/no-kernel"
echo 'not a kernel' >"$TAP_DIR/no-kernel/bzImage"
capture boot true --kernel "$TAP_DIR/no-kernel"
ok "a file that is no kernel" exits $GUEST_NO_QEMU 'qemu-system-x86_64 could not start' 'linux kernel too old'
done_testing
