#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Static checks of everything in the repository.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
cd "$PVA_TOP"
need_build_packages

mapfile -t files < <(git ls-files --cached --others --exclude-standard | while read -r file; do
	[ ! -e "$file" ] || echo "$file"
done)
mapfile -t shell < <(grep -lE '^#!/bin/(bash|sh)|^# shellcheck shell=' -- "${files[@]}")
mapfile -t cxx < <(printf '%s\n' "${files[@]}" | grep -E '\.(cc|cpp|h)$')

shellcheck_all() {
	printf '%s\0' "${shell[@]}" | xargs -0 -P "$PVA_JOBS" -n 7 shellcheck
}
ok "shellcheck: ${#shell[@]} files" shellcheck_all
ok "shfmt: the same" shfmt -d "${shell[@]}"

no_script_is_long() {
	wc -l "${shell[@]}" | awk '$2 != "total" && $1 > 210 { print; bad = 1 } END { exit bad }'
}
ok "no script is much longer than 200 lines" no_script_is_long

have_spdx() {
	local file bad=0
	for file in "${files[@]}"; do
		case $file in
		COPYING | README.md | *.patch | *.diff | *.json | *.svg | */recipients | */settings | */config | */codespell-ignore | patches/cover-letter.txt | MAINTAINERS.snippet) ;;
		*) head -n 5 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0' || {
			echo "$file"
			bad=1
		} ;;
		esac
	done
	return $bad
}
ok "every file has its SPDX tag" have_spdx

have_help() {
	local script bad=0
	for script in scripts/*; do
		if [ -d "$script" ]; then
			continue
		fi
		"$script" --help 2>&1 | grep -q '^Usage: ' || {
			echo "$script --help shows no usage"
			bad=1
		}
	done
	return $bad
}
ok "every script serves --help" have_help

ok "clang-format: ${#cxx[@]} files" clang-format --dry-run -Werror "${cxx[@]}"

# Half a minute a file: a file that was found clean, with the same headers and
# checks, is not looked at again.
tidy() {
	local cache=$PVA_CACHE/tidy
	mkdir -p "$cache"
	[ -e .clang-tidy ] || {
		echo ".clang-tidy is missing"
		return 1
	}
	local headers file key todo=()
	headers=$({ cat .clang-tidy && clang-tidy --version && printf '%s\n' "${cxx[@]}" | grep '\.h$' |
		xargs -d '\n' sha256sum; } | sha256sum)
	while read -r file; do
		key=$({ echo "$headers" && cat "$file"; } | sha256sum | cut -c1-40)
		[ -e "$cache/$key" ] || todo+=("$file" "$cache/$key")
	done < <(printf '%s\n' "${cxx[@]}" | grep -E '^tools-.*\.(cc|cpp)$')
	[ ${#todo[@]} -gt 0 ] || return 0
	note "clang-tidy: $((${#todo[@]} / 2)) files"
	# shellcheck disable=SC2016 # xargs' shell expands it
	printf '%s\0' "${todo[@]}" | xargs -0 -P "$PVA_JOBS" -n 2 bash -c '
		top=tools-testing-selftests-mm/per_vma_lock
		clang-tidy --quiet --warnings-as-errors="*" "$0" -- -std=c++20 -D_GNU_SOURCE -I$top -I$top/bench \
			2>/dev/null && touch "$1"'
}
ok "clang-tidy: the C++ of the selftest" tidy

mapfile -t series < <(ls patches/*/*.patch)
ok "there are patches" [ ${#series[@]} -gt 0 ]
spelled() {
	printf '%s\0' "${files[@]}" | grep -zvE '^scripts/lib/(review/|tests/)|recipients$' |
		xargs -0 codespell -L damon,crate
}
ok "codespell" spelled

source_prepare v7.3
tree=$(kernel_tree v7.3 base)
# The sender signs off (git am -s); the patches in the repository carry no tag
# that nobody has given. scripts/review looks at the rest, and more closely.
checked() {
	local patch bad=0
	for patch in "${series[@]}"; do
		"$tree/scripts/checkpatch.pl" --quiet --no-tree --root="$tree" --no-signoff - <"$patch" || bad=1
	done
	return $bad
}
ok "checkpatch: ${#series[@]} patches" checked
done_testing
