#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The patches: every base has its own, they apply with git am, one by one, and
# the same input gives the same commit.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
need_build_packages
need_guest_packages

two_patches() {
	[ "$(base_patches "$1" | wc -l)" -eq 2 ]
}
# From the series' own identity; the sender signs off, and nobody else has.
identity='From: Per-VMA anon_vma series <per-vma-anon@localhost>'
nobody_named() {
	local patch headers bad=0
	while read -r patch; do
		headers=$(sed -n '1d; /^$/q; p' "$patch" | grep -v '^ ' | cut -d: -f1 | paste -sd' ')
		if [ "$headers" != 'From Date Subject' ] || [ "$(sed -n 2p "$patch")" != "$identity" ] ||
			! sed -n 3p "$patch" | grep -q '^Date: ' ||
			grep -E '^(Signed-off|Acked|Reviewed|Tested|Reported)-by:' "$patch"; then
			echo "$patch"
			bad=1
		fi
	done < <(base_patches "$1")
	return $bad
}
applies() {
	local commit
	commit=$(variant_commit "$1" "$2") && git_cache cat-file -e "$commit^{commit}"
}
steps() {
	[ "$(git_cache rev-parse "$(variant_commit "$1" patched)~1")" = "$(variant_commit "$1" patch1)" ] &&
		[ "$(git_cache rev-parse "$(variant_commit "$1" patched)~2")" = "$(variant_commit "$1" base)" ]
}
again() {
	local before
	before=$(variant_commit "$1" patched)
	git_cache for-each-ref --format='%(refname)' "refs/series/$(variant_commit "$1" base)" |
		while read -r ref; do git_cache update-ref -d "$ref"; done
	[ -n "$before" ] && [ "$(variant_commit "$1" patched)" = "$before" ]
}
mutants_apply() {
	local mutant bad=0
	for mutant in "$PVA_LIB"/mutants/*.patch; do
		if [ "$(sed -n 's/^Base: //p' "$mutant")" = "$1" ]; then
			variant_commit "$1" "mutant:$mutant" >/dev/null || bad=1
		fi
	done
	return $bad
}
# What is quickly reviewed; 80-review.t shows that each of these rows can be bad.
reviewed() {
	"$PVA_TOP/scripts/review" --base "$1" --output "$TAP_DIR/review-$1" \
		--only am,format,checkpatch,codespell,kernel-doc,maintainers,recipients,callers,size
}

cache_lock
for base in $(base_names); do
	source_prepare "$base"
	ok "$base: the source is what the base file says" \
		grep -q "^SUBLEVEL = $(base_field "$base" release | cut -d. -f3)\$" \
		<(git_cache show "$(variant_commit "$base" base):Makefile")
	ok "$base: two patches" two_patches "$base"
	ok "$base: from the series, signed by nobody yet" nobody_named "$base"
	ok "$base: the first one applies alone" applies "$base" patch1
	ok "$base: both apply" applies "$base" patched
	ok "$base: one after the other" steps "$base"
	ok "$base: again, with the same result" again "$base"
	ok "$base: the mutants apply" mutants_apply "$base"
	ok "$base: the quick rows of scripts/review are not bad" reviewed "$base"
done
done_testing
