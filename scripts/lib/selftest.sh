# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds and installs the selftest with the kernel tree's own make, and packs it
# for the guest. Needs kernels.sh and guest.sh.

PVA_SELFTEST=$PVA_TOP/tools-testing-selftests-mm
PVA_TARGET=mm/per_vma_lock

# selftest_key BASE: names what the build depends on.
selftest_key() {
	{
		git_cache rev-parse "$(source_commit "$1")^{tree}"
		find "$PVA_SELFTEST" -path '*/bench' -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
		sha256sum "$PVA_LIB"/guest-*
		echo "$PVA_RECIPE"
		dpkg-query -W libgtest-dev liburing-dev busybox-static 2>/dev/null || true
		g++ --version | head -n 1
	} | sha256sum | cut -c1-20
}

# initramfs_file BASE: where the packed selftest is, once built.
initramfs_file() {
	printf '%s/images/initramfs-%s.cpio\n' "$PVA_CACHE" "$(selftest_key "$1")"
}

# selftest_build BASE: builds the selftest and packs the initramfs, if needed, and
# leaves the latter's name in SELFTEST_INITRAMFS.
selftest_build() {
	local base=$1 file tree out log=$PVA_CACHE/log/selftest-$1
	need_build_packages
	need_guest_packages
	source_prepare "$base"
	file=$(initramfs_file "$base") || exit
	# shellcheck disable=SC2034 # for the caller
	SELFTEST_INITRAMFS=$file
	[ ! -e "$file" ] || return 0
	cache_lock
	need_space 1048576 "building the selftest"
	stage "building the selftest for $base"
	tree=$(build_tree "$base")
	out=$PVA_CACHE/build/${tree##*/}-selftest
	if [ ! -e "$tree.dated" ]; then
		run_logged "$log-checkout" "checking out" checkout "$tree" "$(source_commit "$base")" ||
			die 3 "cannot check out $base in $tree"
	fi
	run_logged "$log" "compiling the selftest" selftest_make "$tree" "$out" ||
		die 1 "the selftest does not build: see $log"
	[ -s "$out/install/kselftest-list.txt" ] ||
		die 1 "the selftest was built, but make install put no test into the list: see $log"
	mkdir -p "$PVA_CACHE/images"
	rm -rf "$out/root" && mkdir -p "$out/root"
	cp -a "$out/install" "$out/root/kselftest"
	run_logged "$log-initramfs" "packing the initramfs" initramfs_pack "$file" "$out/root/kselftest" ||
		die 3 "cannot write $file"
}

selftest_make() {
	local tree=$1 out=$2
	mkdir -p "$tree/tools/testing/selftests/mm" "$out" && rm -rf "$out/install" &&
		rsync -rc --delete "$PVA_SELFTEST/per_vma_lock/" "$tree/tools/testing/selftests/$PVA_TARGET/" &&
		nice make -C "$tree" O="$out" headers &&
		nice make -C "$tree/tools/testing/selftests" O="$out" TARGETS="$PVA_TARGET" -j"$PVA_JOBS" \
			KSFT_INSTALL_PATH="$out/install" FORCE_TARGETS=1 install
}

# kselftest_job ARGUMENTS [SECONDS]: the guest's job: the kselftest runner, with
# ARGUMENTS for the test program, which may take SECONDS instead of what its settings say.
kselftest_job() {
	cat <<-JOB
		export KSELFTEST_PER_VMA_LOCK_ARGS='$1'
		cd /kselftest && ./run_kselftest.sh ${2:+--override-timeout $2}
	JOB
}

# is_slow CONFIG: whether such a kernel is ten times slower than the others.
is_slow() {
	[ "$1" = debug ] || [ "$1" = kcsan ]
}

# slow_arguments CONFIG: for the test program in a kernel that is ten times slower.
slow_arguments() {
	! is_slow "$1" || printf -- '--scale=10 --test-timeout=240'
}

# kernel_parameters CONFIG: for the command line of such a kernel. KCSAN watches every
# 4000th access by default, for 80 us: too few in a run of minutes.
kernel_parameters() {
	[ "$1" != kcsan ] || printf 'kcsan.skip_watch=300 kcsan.udelay_task=300\n'
}
