# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Boots a kernel in QEMU and brings back what its job printed. Needs common.sh.
#
# The first serial port is the kernel's console (LOG), the second one carries
# what the job prints (LOG.out), so neither cuts the other's lines in two.

PVA_BOOT_SECONDS=${PVA_BOOT_SECONDS:-120} # until init runs
PVA_QEMU=${PVA_QEMU:-qemu-system-x86_64}

# What guest_boot returns when the guest did not get to the end of its job,
# which no job may exit with.
GUEST_PANIC=101 GUEST_HANG=102 GUEST_NO_INIT=103 GUEST_NO_QEMU=104 GUEST_DIED=105

# accelerator WANTED: kvm only where the processor really has it; a /dev/kvm in
# a virtual machine without vmx or svm cannot run a kernel.
accelerator() {
	case $1 in
	tcg) printf 'tcg\n' ;;
	kvm | auto)
		if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
			printf 'kvm\n'
		elif [ "$1" = kvm ]; then
			die 4 "--accel kvm: no usable KVM here (needs vmx or svm in /proc/cpuinfo and" \
				"write access to /dev/kvm): use --accel tcg"
		else
			printf 'tcg\n'
		fi
		;;
	*) die 2 "--accel '$1': auto, kvm or tcg" ;;
	esac
}

# initramfs_pack FILE DIR...: an initramfs of the DIRs' contents, busybox, init.
initramfs_pack() {
	local file=$1 root=$1.root
	shift
	rm -rf "$root" && mkdir -p "$root"/{bin,dev,proc,sys,tmp,mnt,etc,usr/bin,root} || return
	cp "$(command -v busybox)" "$root/bin/busybox" && ln -s busybox "$root/bin/sh" &&
		cp "$PVA_LIB/guest-timeout" "$root/usr/bin/timeout" &&
		printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd" &&
		printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group" &&
		install -m 755 "$PVA_LIB/guest-init" "$root/init" || return
	while [ $# -gt 0 ]; do
		cp -a "$1" "$root/" || return
		shift
	done
	cpio_of "$root" >"$file.new" && mv "$file.new" "$file" && rm -rf "$root"
}

cpio_of() {
	(cd "$1" && find . -print0 | sort -z | cpio --quiet --null --create --format=newc --owner=0:0)
}

# guest_boot --kernel DIR --initramfs FILE --job FILE --log FILE --deadline SECONDS
#            [--smp N] [--memory M] [--accel A] [--icount] [--append WORDS] [--disk FILE]
#
# Returns the job's own exit code, or one of GUEST_* after a line that says what
# became of the guest, and the end of its console. No QEMU is left behind.
#
# With several threads, QEMU's TCG sometimes executes an instruction that the kernel
# is just patching (static keys). A kernel that trips over that is booted again, once.
# So is one that does not get to init: seen rarely, on a busy machine, a second after the
# start, when the kernel was about to switch the clock source.
guest_boot() {
	local rc=0
	guest_boot_once "$@" || rc=$?
	if [ $rc -eq $GUEST_NO_INIT ]; then
		note "no test has begun: booting once more"
	elif [ $rc -gt 100 ] && grep -q 'Oops: int3: ' "$GUEST_LOG"; then
		note "QEMU executed an instruction that was being patched: booting once more"
	else
		return $rc
	fi
	guest_boot_once "$@"
}

guest_boot_once() {
	local kernel='' initramfs='' job='' log='' deadline=300 smp=2 memory=2048 accel=tcg icount='' append='' disk=''
	while [ $# -gt 0 ]; do
		case $1 in
		--icount) icount=1 && shift ;;
		--kernel | --initramfs | --job | --log | --deadline | --smp | --memory | --accel | --append | --disk)
			printf -v "${1#--}" %s "$2"
			shift 2
			;;
		*) die 2 "guest_boot: unknown option '$1'" ;;
		esac
	done
	local file
	for file in "$kernel/bzImage" "$initramfs" "$job"; do
		[ -r "$file" ] || die 3 "guest_boot: cannot read '$file'"
	done
	local machine=(-accel "tcg,thread=multi" -cpu max)
	[ "$accel" = tcg ] || machine=(-accel kvm -cpu host)
	# QEMU counts every round of a "rep stosb", where a processor retires one
	# instruction. Without these features the kernel clears a page in 512 rounds
	# instead of 4096, and the page does not hide the fault.
	[ -z "$icount" ] ||
		machine=(-accel "tcg,thread=single" -cpu "${PVA_ICOUNT_CPU:-max,-erms,-fsrm}" -icount "shift=0,sleep=off")
	[ -z "$icount" ] || smp=1
	[ -z "$disk" ] || machine+=(-drive "file=$disk,format=raw,if=virtio")
	local job_dir=$log.job
	GUEST_LOG=$log
	mkdir -p "${log%/*}" && rm -rf "$job_dir" "$log" "$log.out" "$log.qemu" && mkdir "$job_dir"
	install -m 755 "$job" "$job_dir/job"
	cpio_of "$job_dir" | cat "$initramfs" - >"$log.initramfs"
	rm -rf "$job_dir"
	: >"$log"
	: >"$log.out"
	local guest=("$PVA_QEMU" -machine q35 "${machine[@]}" -smp "$smp" -m "$memory" -nodefaults
		-display none -no-reboot -serial "file:$log" -serial "file:$log.out"
		-kernel "$kernel/bzImage" -initrd "$log.initramfs"
		-append "console=ttyS0 panic=-1 no_timer_check printk.devkmsg=on ramdisk_size=131072 $append")
	set -m
	setpriv --pdeathsig KILL "${guest[@]}" </dev/null >"$log.qemu" 2>&1 9>&- &
	local pid=$!
	set +m
	child_started "$pid"
	local rc=0
	guest_watch "$pid" "$log" "$deadline" || rc=$?
	kill -KILL -- "-$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	child_ended
	rm -f "$log.initramfs"
	guest_verdict "$rc" "$log" "$deadline"
}

# guests_end: at the exit, ends the shells that wait for guests in the background, and
# the guests with them.
guests_end() {
	# shellcheck disable=SC2046 # a word each
	kill $(jobs -pr) 2>/dev/null || true
}

# guest_watch PID LOG DEADLINE: returns 0 when QEMU has ended or the job has, 1
# when init did not start in time, 2 when the deadline passed.
guest_watch() {
	local pid=$1 log=$2 deadline=$3 start=$SECONDS next=$((SECONDS + 30)) running=''
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
		if [ -z "$running" ] && grep -qs '^PVA-INIT' "$log.out"; then
			running=1
		fi
		if [ -z "$running" ] && [ $((SECONDS - start)) -ge "$PVA_BOOT_SECONDS" ]; then
			return 1
		fi
		[ $((SECONDS - start)) -lt "$deadline" ] || return 2
		if [ $SECONDS -ge $next ]; then
			next=$((SECONDS + 30))
			run_logged_progress "guest $(basename "$log" .console)" $((SECONDS - start)) "$log.out"
		fi
	done
}

# guest_verdict RC LOG DEADLINE
guest_verdict() {
	local rc=$1 log=$2 job
	job=$(sed -n 's/^PVA-EXIT \([0-9]*\).*/\1/p' "$log.out" | tail -n 1)
	if grep -q 'Kernel panic' "$log"; then
		guest_failed "$log" "the kernel panicked: $(grep -m 1 'Kernel panic' "$log" | sed 's/^\[[^]]*\] *//')"
		return $GUEST_PANIC
	elif [ "$rc" -eq 2 ]; then
		guest_failed "$log" "the guest did not finish in $(duration "$3")"
		return $GUEST_HANG
	elif [ "$rc" -eq 1 ]; then
		guest_failed "$log" "the kernel did not get to init in $(duration "$PVA_BOOT_SECONDS")"
		return $GUEST_NO_INIT
	elif [ -n "$job" ]; then
		return "$job"
	elif [ -s "$log.qemu" ] && [ ! -s "$log" ]; then
		guest_failed "$log.qemu" "$PVA_QEMU could not start"
		return $GUEST_NO_QEMU
	fi
	guest_failed "$log" "the guest ended before its job did"
	return $GUEST_DIED
}

guest_failed() {
	note "$2; the end of $1:"
	tail -n 15 "$1" | tr -d '\r' | cut -c1-160 | sed 's/^/   | /' >&2
}

# guest_splats LOG: lines "TEST: LINE" for every complaint of the kernel in the
# console, with the test that was running when it came.
guest_splats() {
	tr -d '\r' <"$1" | awk '
		{ line = $0; sub(/^(<[0-9]+>)?\[ *[0-9.]+\](\[ *[TC][0-9]+\])? */, "", line) }
		line ~ /^pva: job/ { test = line == "pva: job begins" ? "the job" : ""; next }
		line ~ /^per_vma_lock: / { test = line; sub(/^per_vma_lock: (test )?/, "", test); next }
		line ~ /^(WARNING|BUG|Oops|INFO: (task|possible|rcu|suspicious)|UBSAN|KASAN|general protection|kernel BUG|Kernel panic|unreferenced object|page_owner|============)/ ||
		line ~ /(possible (recursive|circular) locking|inconsistent lock state|suspicious RCU usage|blocked for more than|soft lockup|hard LOCKUP|rcu.*(detected stalls|self-detected stall)|Bad page (state|map)|bad pmd|bad rss-counter)/ {
			if (line !~ /^=+$/) print (test == "" ? "boot" : test) ": " line
		}'
}

# guest_shell KERNEL-DIR INITRAMFS SMP MEMORY ACCEL: the console here, until the
# guest's shell ends (or Ctrl-A X).
guest_shell() {
	local machine=(-accel "tcg,thread=multi" -cpu max)
	[ "$5" = tcg ] || machine=(-accel kvm -cpu host)
	"$PVA_QEMU" -machine q35 "${machine[@]}" -smp "$3" -m "$4" -nodefaults -display none -no-reboot \
		-serial mon:stdio -serial null -kernel "$1/bzImage" -initrd "$2" \
		-append "console=ttyS0 panic=-1 ramdisk_size=131072 quiet pva.shell"
}
