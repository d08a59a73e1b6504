# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Kernels, built once per source, configuration and compiler. Needs common.sh,
# source.sh and variant.sh.
#
# All variants of a base are built from one work tree, each into an O= directory
# that starts as a copy of the nearest one there is. So the paths in the
# binaries are the same, and make compiles only what a variant changes. What
# that is, git says: a checkout makes dates new, so they are set to what fits.

PVA_RECIPE=1       # part of every key: raise it when the way of building changes
PVA_OLD=2020-01-01 # date of all files that no build has to see as changed

# build_tree BASE: the work tree that the kernels of a base are built from.
build_tree() {
	if [ -n "$PVA_TREE" ]; then
		printf '%s/source/tree-%s\n' "$PVA_CACHE" "$(tree_name "$PVA_TREE")"
	else
		printf '%s/source/%s\n' "$PVA_CACHE" "$1"
	fi
}

# kernel_tree BASE VARIANT: a full work tree of that variant, to read and to
# compile single files in. Whoever uses it may leave nothing behind in it.
kernel_tree() {
	local commit dir
	commit=$(variant_commit "$1" "$2") || exit
	dir=$PVA_CACHE/trees/$(git_cache rev-parse "$commit^{tree}" | cut -c1-16)
	[ -e "$dir.complete" ] || checkout "$dir" "$commit" >&2 || die 3 "cannot check out $commit in $dir"
	touch "$dir.complete"
	printf '%s\n' "$dir"
}

# checkout DIR COMMIT: DIR becomes a work tree of COMMIT.
checkout() {
	local dir=$1 commit=$2 lock
	if [ ! -e "$dir/.git" ]; then
		rm -rf "$dir" "$dir.dated" && git_cache worktree prune &&
			git_cache worktree add -q -f --detach --no-checkout "$dir" "$commit" || return
	fi
	lock=$(git -C "$dir" rev-parse --git-path index.lock) && rm -f "$lock" &&
		git -C "$dir" diff --name-only --no-renames HEAD "$commit" >>"$dir.touched" &&
		{ git -C "$dir" update-index -q --refresh || true; } && # or -f rewrites what only has a new date
		git -C "$dir" checkout -q -f --detach "$commit" || return
	if [ ! -e "$dir.dated" ]; then
		(cd "$dir" && git ls-files -z | xargs -0 touch -h -c -d "$PVA_OLD") && touch "$dir.dated"
	fi
}

# config_fragments CONFIG: the files that make up a configuration.
config_fragments() {
	printf '%s\n' "$PVA_TOP/Kconfig.fragment" "$PVA_LIB/qemu.config"
	case $1 in
	fast) ;;
	debug | kcsan | preempt) printf '%s\n' "$PVA_LIB/config-$1" ;;
	*) die 2 "unknown configuration '$1': fast, debug, kcsan or preempt" ;;
	esac
}

# image_dir COMMIT CONFIG: where the finished kernel is, or will be.
image_dir() {
	local fragments key
	mapfile -t fragments < <(config_fragments "$2")
	key=$({
		git_cache rev-parse "$1^{tree}"
		cat "${fragments[@]}"
		gcc --version | head -n 1
		ld --version | head -n 1
		echo "$PVA_RECIPE"
	} | sha256sum | cut -c1-20)
	printf '%s/images/%s-%s\n' "$PVA_CACHE" "$2" "$key"
}

# kernel_image BASE VARIANT CONFIG: a directory with bzImage, vmlinux,
# System.map and .config, built if it is not there.
kernel_image() {
	kernel_build "$@" >&2
	printf '%s\n' "$KERNEL_IMAGE"
}

# kernel_build BASE VARIANT CONFIG: the same, leaving the directory in KERNEL_IMAGE
# instead of printing it.
kernel_build() {
	local base=$1 variant=$2 config=$3 commit image tree out log
	config_fragments "$config" >/dev/null
	need_build_packages
	source_prepare "$base"
	commit=$(variant_commit "$base" "$variant") || exit
	image=$(image_dir "$commit" "$config") || exit
	KERNEL_IMAGE=$image
	[ ! -e "$image/bzImage" ] || return 0
	cache_lock
	need_space $((4 * 1048576)) "building a kernel"
	tree=$(build_tree "$base")
	log=$PVA_CACHE/log/kernel-${tree##*/}-$(variant_slot "$variant")-$config
	stage "building the kernel: $base $variant, config $config"
	out=$PVA_CACHE/build/${tree##*/}-$config-$(variant_slot "$variant")
	[ "$variant" = base ] || [ "$variant" = patched ] || kernel_build "$base" patched "$config"
	run_logged "$log-checkout" "checking out" checkout "$tree" "$commit" ||
		die 3 "cannot check out $base $variant in $tree"
	run_logged "$log-seed" "copying the nearest build" output_seed "$tree" "$out" "$commit" ||
		die 3 "cannot prepare $out"
	run_logged "$log-config" "configuring" kernel_configure "$tree" "$out" "$config" ||
		die 3 "cannot configure $base $variant: see $log-config"
	run_logged "$log" "compiling $base $variant" kernel_make "$tree" "$out" bzImage ||
		die 1 "$base $variant does not compile: see $log"
	printf '%s\n' "$commit" >"$out/.commits"
	image_save "$out" "$image" || die 3 "cannot write $image"
	KERNEL_IMAGE=$image
}

# variant_slot VARIANT: which O= directory it is built in.
variant_slot() {
	case $1 in
	base | patched) printf '%s\n' "$1" ;;
	*) printf 'other\n' ;;
	esac
}

kernel_make() {
	local tree=$1 out=$2
	shift 2
	nice make -C "$tree" O="$out" -j"$PVA_JOBS" LOCALVERSION= KBUILD_BUILD_USER=per-vma-anon \
		KBUILD_BUILD_HOST=localhost KBUILD_BUILD_VERSION=1 \
		KBUILD_BUILD_TIMESTAMP='Thu Jan 1 00:00:00 UTC 1970' "$@"
}

kernel_configure() {
	local tree=$1 out=$2 fragments
	mapfile -t fragments < <(config_fragments "$3")
	kernel_make "$tree" "$out" tinyconfig &&
		(cd "$out" && "$tree/scripts/kconfig/merge_config.sh" -m -Q -O "$out" .config "${fragments[@]}") &&
		kernel_make "$tree" "$out" olddefconfig
}

# output_seed TREE OUT COMMIT: OUT's objects become those of a build from which
# COMMIT differs least, and exactly the files that differ get a new date.
# OUT/.commits lists what OUT's objects may have been compiled from.
output_seed() {
	local tree=$1 out=$2 commit=$3 dir best='' cost least=999999
	for dir in "$out" "${out%-*}"-base "${out%-*}"-patched; do
		[ -s "$dir/.commits" ] || continue
		[ "$dir" = "$out" ] || [ "$(wc -l <"$dir/.commits")" -eq 1 ] || continue
		cost=$(changed_files "$dir" "$commit" |
			awk '{ n += /\.h$/ ? 1000 : 1 } END { print n + 0 }') || continue
		if [ "$cost" -lt "$least" ]; then
			least=$cost best=$dir
		fi
	done
	if [ -z "$best" ]; then
		rm -rf "$out" && mkdir -p "$out" && echo "$commit" >"$out/.commits"
		return
	fi
	if [ "$best" != "$out" ]; then
		rm -rf "$out" "$out.new" && cp -a "$best" "$out.new" && mv "$out.new" "$out" || return
	fi
	sort -u -o "$tree.touched" "$tree.touched" && changed_files "$out" "$commit" >"$tree.changed" &&
		(cd "$tree" && xargs -r -d '\n' touch -h -c -d "$PVA_OLD" <"$tree.touched" &&
			xargs -r -d '\n' touch -h -c <"$tree.changed") &&
		echo "$commit" >>"$out/.commits"
}

# changed_files DIR COMMIT: the files in which COMMIT differs from anything that
# the objects in the O= directory DIR may have been compiled from.
changed_files() {
	local from
	while read -r from; do
		git_cache diff --name-only --no-renames "$from" "$2" || return
	done <"$1/.commits" | sort -u
}

# image_save OUT IMAGE
image_save() {
	rm -rf "$2.new" && mkdir -p "$2.new" &&
		cp -p "$1/vmlinux" "$1/System.map" "$1/.config" "$1/arch/x86/boot/bzImage" "$2.new" &&
		rm -rf "$2" && mv "$2.new" "$2"
}
