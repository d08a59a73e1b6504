# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The compile matrix of scripts/review. Needs review-rows.sh.
#
# A cell is one architecture, compiler, configuration and switched-off option.
# Every object that the series touches (and that the configuration has) is
# compiled, unpatched and patched, in one O= directory for each architecture and
# compiler. The result is remembered by the content of the source tree, the
# configuration and the compiler.

# shellcheck disable=SC2034 # for review-matrix.sh
{
	REVIEW_RECIPE=1
	REVIEW_ARCHES=(x86_64 i386 arm64 arm riscv s390 powerpc loongarch)
	REVIEW_KINDS=(allnoconfig tinyconfig defconfig allmodconfig)
	REVIEW_SWITCHES=(none SMP TRANSPARENT_HUGEPAGE HUGETLBFS USERFAULTFD NUMA)
}

# gcc_triplet ARCH: the prefix of Debian's cross compiler, empty where there is
# none; gcc_package ARCH: the package that brings it.
gcc_triplet() {
	case $1 in
	x86_64 | i386) [ "$(uname -m)" != x86_64 ] || printf 'native\n' ;;
	arm64) printf 'aarch64-linux-gnu-\n' ;;
	arm) printf 'arm-linux-gnueabihf-\n' ;;
	riscv) printf 'riscv64-linux-gnu-\n' ;;
	s390) printf 's390x-linux-gnu-\n' ;;
	powerpc) printf 'powerpc64le-linux-gnu-\n' ;;
	esac
}

gcc_package() {
	local triplet
	triplet=$(gcc_triplet "$1")
	printf 'gcc-%s:%sgcc\n' "${triplet%-}" "$triplet"
}

# make_words ARCH COMPILER: how make is told, one word a line.
make_words() {
	local triplet
	printf 'ARCH=%s\n' "$1"
	case $2 in
	clang) printf 'LLVM=%s\n' "$(clang_suffix)" ;;
	gcc)
		triplet=$(gcc_triplet "$1")
		[ "$triplet" = native ] || printf 'CROSS_COMPILE=%s\n' "$triplet"
		;;
	esac
}

# clang_suffix: -19 where Debian's clang-19 is, else 1 for the clang in PATH.
clang_suffix() {
	if command -v clang-19 >/dev/null; then printf '%s\n' -19; else printf '1\n'; fi
}

compiler_version() {
	local triplet
	case $2 in
	clang) if command -v clang-19 >/dev/null; then clang-19 --version; else clang --version; fi | head -n 1 ;;
	gcc)
		triplet=$(gcc_triplet "$1")
		"${triplet/native/}gcc" --version | head -n 1
		;;
	esac
}

# cell_make ARCH COMPILER ARGUMENT...: make in the cell's O= directory.
cell_make() {
	local words out=$REVIEW_CACHE/build/$REVIEW_BASE-$1-$2
	mapfile -t words < <(make_words "$1" "$2")
	shift 2
	mkdir -p "$out"
	make -Otarget -C "$REVIEW_CACHE/source/$REVIEW_BASE" O="$out" -j"$PVA_JOBS" "${words[@]}" "$@"
}

# cell_objects ARCH: the objects of the touched files that ARCH can have.
cell_objects() {
	local dir=$1
	case $1 in x86_64 | i386) dir=x86 ;; esac
	touched_files | sed -n 's/\.c$/.o/p' | awk -v "arch=arch/$dir/" \
		'!/^arch\// || index($0, arch) == 1' | grep -v '^tools/'
}

# config_key ARCH COMPILER KIND SWITCH. Not the whole tree: the series touches
# no Kconfig file.
config_key() {
	key_of "$@" "$REVIEW_RECIPE" "$(git_cache rev-parse "$(source_commit "$REVIEW_BASE")^{tree}")" \
		"$(compiler_version "$1" "$2")" "$(sha256sum <"$PVA_TOP/Kconfig.fragment")" \
		"$(cat "$REVIEW_DATA"/*.config "$REVIEW_DATA"/arch/"$1".config | sha256sum)"
}

# config_make ARCH COMPILER KIND SWITCH: prints a .config.
config_make() {
	local arch=$1 compiler=$2 kind=$3 switch=$4 out fragments=() target=$3
	out=$REVIEW_CACHE/build/$REVIEW_BASE-$arch-$compiler
	[ "$kind" != tinyconfig ] || fragments=("$PVA_TOP/Kconfig.fragment" "$REVIEW_DATA/callers.config")
	[ "$kind" = defconfig ] || fragments+=("$REVIEW_DATA/arch/$arch.config")
	[ "$arch-$kind" != powerpc-defconfig ] || target=ppc64le_defconfig
	printf 'CONFIG_MMU=y\n' >"$out.mmu"
	printf '# CONFIG_%s is not set\n' "${switch/none/WERROR}" >"$out.off"
	cell_make "$arch" "$compiler" "$target" &&
		(cd "$out" && "$REVIEW_CACHE/source/$REVIEW_BASE/scripts/kconfig/merge_config.sh" -m -Q -O "$out" \
			.config "$out.mmu" "${fragments[@]}" "$REVIEW_DATA/objects.config" "$out.off") &&
		cell_make "$arch" "$compiler" olddefconfig
}

config_print() {
	local out=$REVIEW_CACHE/build/$REVIEW_BASE-$1-$2
	mkdir -p "$out"
	[ -e "$REVIEW_CACHE/source/$REVIEW_BASE/Makefile" ] || review_tree base >/dev/null || return
	config_make "$@" >"$out.config.log" 2>&1 </dev/null || return
	cat "$out/.config"
}

# config_file ARCH COMPILER KIND SWITCH: the file with that .config.
config_file() {
	local key
	key=$(config_key "$@")
	cached "$key" config_print "$@" >/dev/null || return
	printf '%s\n' "$REVIEW_CACHE/results/${key:0:2}/$key"
}

# cell_state ARCH COMPILER KIND SWITCH: build, or why there is nothing to build.
cell_state() {
	local switch=$4 file none
	if ! none=$(config_file "$1" "$2" "$3" none) || ! file=$(config_file "$@"); then
		printf 'bad\tmake %s fails: see %s\n' "$3" "$REVIEW_CACHE/build/$REVIEW_BASE-$1-$2.config.log"
		return
	fi
	if [ "$switch" != none ] && ! grep -q "^CONFIG_$switch=" "$none"; then
		printf 'same\tis off anyway\n'
	elif [ "$switch" != none ] && grep -q "^CONFIG_$switch=" "$file"; then
		printf 'same\tKconfig does not allow it\n'
	else
		printf 'build\t%s\n' "$file"
	fi
}

# cell_compile ARCH COMPILER KIND SWITCH VARIANT EXTRA: compiles the objects and
# prints one JSON object: objects, text, messages, errors.
cell_compile() {
	local arch=$1 compiler=$2 config extra=() out objects log dir
	config=$(config_file "$1" "$2" "$3" "$4") || return
	dir=$(review_tree "$5") || return
	[ -z "$6" ] || read -ra extra <<<"$6"
	out=$REVIEW_CACHE/build/$REVIEW_BASE-$arch-$compiler
	log=$out.log
	mapfile -t objects < <(cell_objects "$arch")
	mkdir -p "$out" # the configuration may be an older run's
	cmp -s "$config" "$out/.config" || cp "$config" "$out/.config" || return
	if ! cell_make "$arch" "$compiler" olddefconfig prepare >"$log.prepare" 2>&1 </dev/null; then
		note "make prepare fails: see $log.prepare"
		return 1
	fi
	(cd "$out" && rm -f "${objects[@]}")
	cell_make "$arch" "$compiler" -k "${extra[@]}" "${objects[@]}" >"$log" 2>&1 </dev/null || true
	cell_json "$out" "$log" "$dir" "${objects[@]}"
}

# cell_json OUT LOG TREE OBJECT...
cell_json() {
	local out=$1 log=$2 tree=$3 text=0 object built=()
	shift 3
	for object; do
		[ ! -e "$out/$object" ] || built+=("$object")
	done
	[ ${#built[@]} -eq 0 ] || text=$(cd "$out" && object_text "${built[@]}")
	jq -n --argjson objects ${#built[@]} --argjson text "${text:-0}" --arg tree "$tree/" \
		--rawfile messages <(grep -aE '(warning|error): ' "$log" || true) \
		--rawfile failed <(grep -aE '^make.*\*\*\* \[.*\.o\] Error' "$log" || true) \
		'def lines: split("\n") | map(select(. != "") | ltrimstr("../") | split($tree) | join(""));
		{ objects: $objects, text: $text, messages: ($messages | lines), failed: ($failed | lines) }'
}

# object_text OBJECT...: bytes of code and read-only data in all of them.
object_text() {
	local size=size
	! command -v llvm-size-19 >/dev/null || size=llvm-size-19
	"$size" -B "$@" | awk 'NR > 1 { text += $1 } END { print text + 0 }'
}
