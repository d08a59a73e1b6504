# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The benchmark's guest programs: built, packed, run in a kernel. Needs kernels.sh
# and guest.sh.

PVA_BENCH=$PVA_TOP/tools-testing-selftests-mm/per_vma_lock/bench

# What every benchmark guest is booted with. slab_nomerge gives every slab cache
# its own name, the others make addresses the same in every run.
PVA_BENCH_APPEND="slab_nomerge nokaslr norandmaps quiet"

# bench_build [INITRAMFS]: compiles the guest programs, packs them into a copy of
# INITRAMFS or one of their own and prints the file's name.
bench_build() {
	local out=$PVA_CACHE/build/bench file
	need_packages g++:g++ make busybox-static:/bin/busybox cpio qemu-system-x86:qemu-system-x86_64
	mkdir -p "$out/root/bench" "$PVA_CACHE/images" || die 3 "cannot write to $out"
	run_logged "$PVA_CACHE/log/bench-build" "compiling the benchmark" \
		flock "$out.lock" make -C "$PVA_BENCH" O="$out/objects" DESTDIR="$out/root/bench" -j"$PVA_JOBS" install ||
		die 1 "the benchmark does not compile: see $PVA_CACHE/log/bench-build"
	# Another run may pack something else meanwhile: the content is in the name.
	file=$PVA_CACHE/images/bench-$(cat "$out"/root/bench/* "$PVA_LIB"/guest-* "$@" | sha256sum | cut -c1-20).cpio
	if [ -e "$file" ]; then
		:
	elif [ $# -gt 0 ]; then
		{ cat "$1" && cpio_of "$out/root"; } >"$file.$$" || die 3 "cannot write $file"
		mv "$file.$$" "$file"
	else
		initramfs_pack "$file" "$out/root/bench" || die 3 "cannot write $file"
	fi
	printf '%s\n' "$file"
}

# bench_job COMMAND: the guest's job: what could disturb is turned off first.
bench_job() {
	cat <<-JOB
		thp=/sys/kernel/mm/transparent_hugepage/khugepaged
		echo 0 >\$thp/defrag
		echo 100000000 >\$thp/scan_sleep_millisecs
		echo 100000 >/proc/sys/vm/max_map_count
		$1
	JOB
}

# bench_guest FILE IMAGE INITRAMFS COMMAND [OPTION-OF-GUEST_BOOT]...: runs COMMAND
# in a guest; the JSON lines that it printed go to FILE. On failure shows what it
# said instead and returns its exit code.
bench_guest() {
	local file=$1 image=$2 initramfs=$3 command=$4 rc=0
	shift 4
	mkdir -p "${file%/*}"
	bench_job "$command" >"$file.job"
	guest_boot --kernel "$image" --initramfs "$initramfs" --job "$file.job" --log "$file.console" \
		--append "$PVA_BENCH_APPEND" --deadline "${PVA_BENCH_SECONDS:-900}" "$@" || rc=$?
	tr -d '\r' <"$file.console.out" | grep '^{' >"$file" || true
	if [ "$rc" -ne 0 ]; then
		tr -d '\r' <"$file.console.out" | grep -v '^{\|^PVA-' | tail -n 5 | sed 's/^/   | /' >&2
		jq -r 'select(.failed) | "   | \(.name): \(.failed)"' "$file" >&2 || true
		return "$rc"
	fi
	rm -f "$file.job" "$file.console" "$file.console.out" "$file.console.qemu"
}

# same_config IMAGE IMAGE: dies when two kernels were configured differently:
# comparing them would be unfair.
same_config() {
	local difference
	difference=$(diff <(config_lines "$1") <(config_lines "$2") | grep '^[<>]' | head -n 1) || true
	[ -n "$difference" ] || return 0
	die 2 "the kernels in $1 and $2 were configured differently (${difference#??}):" \
		"build both with the same .config"
}

config_lines() {
	[ -r "$1/.config" ] || die 2 "$1: no .config there: give a directory with bzImage, vmlinux, System.map and .config"
	grep -E '^(# )?CONFIG_' "$1/.config" | grep -v '^CONFIG_\(LOCALVERSION\|BUILD_SALT\)' | sort
}
