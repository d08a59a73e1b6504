# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Sourced by the tests of scripts/review and scripts/send: a copy of this
# repository whose only base, v0.2, is a kernel tree of a few lines, with the
# real kernel's checkpatch.pl, get_maintainer.pl and kernel-doc. Needs tap.sh.
#
# TOY        the copy of the repository
# TOY_TREE   a git tree of the small kernel, to make patches in

TOY=$TAP_DIR/toy
TOY_TREE=$TAP_DIR/toy-tree
TOY_CACHE=$TAP_DIR/toy-cache

toy_git() {
	GIT_CONFIG_GLOBAL=/dev/null git_fixed -C "$TOY_TREE" "$@"
}

toy_make() {
	mkdir -p "$TOY/patches/v0.2" "$TOY/tools-testing-selftests-mm/per_vma_lock/support" "$TOY_TREE/mm"
	cp -r "$PVA_TOP/scripts" "$PVA_TOP/Kconfig.fragment" "$PVA_TOP/MAINTAINERS.snippet" "$TOY/"
	printf '%s\n' package=none version=0 suite=none release=0.2 "sha256=$(printf '0%.0s' {1..64})" \
		>"$TOY/patches/v0.2/base"
	printf '// SPDX-License-Identifier: GPL-2.0\nint main() { return 0; }\n' \
		>"$TOY/tools-testing-selftests-mm/per_vma_lock/main.cc"
	printf '# SPDX-License-Identifier: GPL-2.0\n' >"$TOY/tools-testing-selftests-mm/per_vma_lock/Makefile"
	cp "$TOY/tools-testing-selftests-mm/per_vma_lock/main.cc" "$TOY/tools-testing-selftests-mm/per_vma_lock/support/story.cc"
	printf 'Subject: [PATCH RFC 0/2] mm: one check\n\nHi,\n\nthis is why.\n' >"$TOY/patches/cover-letter.txt"
	source_prepare v7.3
	toy_kernel_files "$(source_commit v7.3)" scripts/checkpatch.pl scripts/get_maintainer.pl scripts/spelling.txt \
		scripts/const_structs.checkpatch scripts/kernel-doc tools/docs/kernel-doc tools/lib/python/kdoc \
		tools/testing/selftests/Makefile tools/testing/selftests/mm/.gitignore .gitattributes
	printf 'VERSION = 0\nPATCHLEVEL = 2\n' >"$TOY_TREE/Makefile"
	printf '%s\n' 'List of maintainers' '' 'MEMORY MAPPING - LOCKING' 'M:	Maintainer <m@lists.linux.dev>' \
		'L:	linux-mm@kvack.org' 'S:	Maintained' 'F:	mm/' '' 'THE REST' 'M:	Rest Björn <rest@linux.dev>' \
		'S:	Buried alive' 'F:	*' 'F:	*/' >"$TOY_TREE/MAINTAINERS"
	cp "$PVA_LIB/tests/toy-memory.c" "$TOY_TREE/mm/memory.c"
	sed -n '1p;19,$p' "$TOY_TREE/mm/memory.c" >"$TOY_TREE/mm/mmap_lock.c"
	mkdir -p "$TOY_TREE"/{Documentation,arch,include,drivers,fs,init,ipc,kernel,lib}
	touch "$TOY_TREE"/{Documentation,arch,include,drivers,fs,init,ipc,kernel,lib}/.keep \
		"$TOY_TREE"/{COPYING,CREDITS,Kbuild,README} # by which the tools know a kernel tree
	toy_git init -q
	toy_git add -A -f
	toy_git commit -q -m base
	toy_git tag base
	git init -q --bare "$TOY_CACHE/per-vma-anon/linux.git"
	touch "$TOY_CACHE/per-vma-anon/linux.git/complete"
	toy_git push -q "$TOY_CACHE/per-vma-anon/linux.git" "base:refs/bases/$(base_sha)"
	printf 'v0.2\tmm/memory.c\tdo_anonymous_page\tvmf_anon_prepare\tvmf\tthe VMA lock\n' >"$TOY/scripts/lib/review/callers"
	toy_series ''
	toy review --recipients >"$TAP_DIR/recipients.log" 2>&1
}

# toy_kernel_files COMMIT PATH...: these files of a real kernel.
toy_kernel_files() {
	local mode blob file commit=$1
	shift
	git_cache ls-tree -r "$commit" -- "$@" | while read -r mode _ blob file; do
		mkdir -p "$TOY_TREE/$(dirname "$file")"
		if [ "$mode" = 120000 ]; then
			ln -s "$(git_cache cat-file -p "$blob")" "$TOY_TREE/$file"
		else
			git_cache cat-file -p "$blob" >"$TOY_TREE/$file"
			chmod "${mode#100}" "$TOY_TREE/$file"
		fi
	done
}

base_sha() {
	sed -n 's/^sha256=//p' "$TOY/patches/v0.2/base"
}

# toy SCRIPT ARGUMENT...: a script of the copy, in a cache of the test's own.
toy() {
	local script=$1
	shift
	env -u PVA_LOCKED -u PVA_TREE XDG_CACHE_HOME="$TOY_CACHE" "$TOY/scripts/$script" "$@"
}

# toy_series [SED-EXPRESSION [CHANGELOG]]: two patches, the second one with this
# edit of mm/memory.c too and this in its changelog.
toy_series() {
	rm -f "$TOY"/patches/v0.2/*.patch
	toy_git checkout -q -f --detach base
	sed -i '/^\tprepare();$/d' "$TOY_TREE/mm/mmap_lock.c"
	toy_git commit -q -a -m 'mm: first step' -m 'Take away what nobody needs, which is the first step of this series.'
	sed -i '/^static int first/,/^}/ { /^\tprepare();$/d }' "$TOY_TREE/mm/memory.c"
	[ -z "${1-}" ] || sed -i "$1" "$TOY_TREE/mm/memory.c"
	toy_git commit -q -a -m 'mm: second step' -m "${2:-Take away the rest, which is the second step of this series.}"
	toy_git format-patch -q --full-index --zero-commit --no-signature -o "$TOY/patches/v0.2" base..HEAD
}

# toy_review ROWS [OPTION]...: scripts/review on it; the report is in REPORT.
REPORT=$TAP_DIR/report
toy_review() {
	local rows=$1
	shift
	rm -rf "$REPORT"
	capture toy review --only "$rows" --output "$REPORT" "$@"
}

# verdict ROW: what the last report says about it.
verdict() {
	jq -r --arg row "$1" '.rows[] | select(.row == $row) | .verdict' "$REPORT/report.json"
}

# is WANTED ROW [PATTERN]: that, and its detail matches.
is() {
	local detail
	detail=$(jq -r --arg row "$2" '.rows[] | select(.row == $row) | .detail' "$REPORT/report.json") || return
	if [ "$(verdict "$2")" != "$1" ] || ! grep -qE -- "${3:-.}" <<<"$detail"; then
		printf '%s is "%s" (%s)\n' "$2" "$(verdict "$2")" "$detail"
		cat "$OUT"
		return 1
	fi
}
