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
mapfile -t shell < <(grep -lE '^#!/bin/(bash|sh)|^#!/bin/busybox sh|^# shellcheck shell=' -- "${files[@]}")
mapfile -t cxx < <(printf '%s\n' "${files[@]}" | grep -E '\.(cc|cpp|h)$')

ok "shellcheck: ${#shell[@]} files" shellcheck "${shell[@]}"
ok "shfmt: the same" shfmt -d "${shell[@]}"

no_script_is_long() {
	wc -l "${shell[@]}" | awk '$2 != "total" && $1 > 210 { print; bad = 1 } END { exit bad }'
}
ok "no script is much longer than 200 lines" no_script_is_long

have_spdx() {
	local file bad=0
	for file in "${files[@]}"; do
		case $file in
		COPYING | *.patch | *.json | *.svg | */recipients | */settings | patches/cover-letter.txt | MAINTAINERS.snippet) ;;
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

tidy() {
	[ -e .clang-tidy ] || {
		echo ".clang-tidy is missing"
		return 1
	}
	(cd tools-testing-selftests-mm/per_vma_lock &&
		find . -name '*.cc' -o -name '*.cpp' | xargs -P "$PVA_JOBS" -n 4 \
			clang-tidy --quiet --warnings-as-errors='*' --extra-arg=-std=c++20 --extra-arg=-I. \
			--extra-arg=-D_GNU_SOURCE -- 2>&1 | grep -v 'warnings generated')
	return "${PIPESTATUS[0]}"
}
ok "clang-tidy: the C++ of the selftest" tidy

mapfile -t series < <(ls patches/*/*.patch)
ok "there are patches" [ ${#series[@]} -gt 0 ]
ok "codespell" codespell "${files[@]}"

source_prepare v7.3
tree=$(kernel_tree v7.3 base)
# The sender signs off (git am -s); the patches in the repository carry no tag
# that nobody has given.
ok "checkpatch: the patches" "$tree/scripts/checkpatch.pl" --quiet --strict --ignore MISSING_SIGN_OFF \
	--no-tree --root="$tree" "${series[@]}"
done_testing
