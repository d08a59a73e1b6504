#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# scripts/send on a kernel of a few lines: mails that git am takes, and nothing
# is sent; what it refuses.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/tests/toy.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/toy.sh"
need_packages git jq perl python3
toy_make
cd "$TAP_DIR" # no git repository with a configuration of its own

mkdir "$TOY/tools-testing-selftests-mm/per_vma_lock/bench"
touch "$TOY/tools-testing-selftests-mm/per_vma_lock/bench/fault_cost.cc"

MAILS=$TAP_DIR/mails
# send NAME MAIL OPTION...: scripts/send of somebody of that name.
send() {
	local name=$1 mail=$2
	shift 2
	printf '[user]\n%s%s' "${name:+name = $name$'\n'}" "${mail:+email = $mail$'\n'}" >"$TAP_DIR/gitconfig"
	rm -rf "$MAILS"
	capture env GIT_CONFIG_GLOBAL="$TAP_DIR/gitconfig" GIT_CONFIG_SYSTEM=/dev/null \
		XDG_CACHE_HOME="$TOY_CACHE" "$TOY/scripts/send" --base v0.2 "$@"
}
ready=(--dry-run --output "$MAILS")

send 'Jane Doe' jane@doe.org
ok "without --dry-run" exits 2 'this script sends nothing: say --dry-run'
send 'Jane Doe' jane@doe.org --nonsense
ok "unknown option" exits 2 "unknown option '--nonsense'"
send 'Jane Doe' jane@doe.org "${ready[@]}" --base v9.9
ok "unknown base" exits 2 "unknown base 'v9.9'"
send 'Jane Doe' jane@doe.org "${ready[@]}" --version two
ok "a version that is no number" exits 2 "--version 'two': must be a whole number"
send '' jane@doe.org "${ready[@]}"
ok "no name" exits 2 'git has no user.name: git config --global user.name'
send 'Jane Doe' '' "${ready[@]}"
ok "no mail address" exits 2 'git has no user.email: git config --global user.email'
send 'Jane Doe' 'jane at doe' "${ready[@]}"
ok "what is no mail address" exits 2 "user.email 'jane at doe' is no mail address"
send 'Per-VMA anon_vma series' jane@doe.org "${ready[@]}"
ok "the project's own name" exits 2 "this project's own, and no person"
send 'Jane Doe' jane@localhost "${ready[@]}"
ok "an address that cannot be answered" exits 2 "user.email 'jane@localhost' cannot get an answer"
echo 'see @TABLE@' >>"$TOY/patches/cover-letter.txt"
send 'Jane Doe' jane@doe.org "${ready[@]}"
ok "a cover letter with gaps" exits 1 'cover-letter.txt has gaps: @TABLE@'
sed -i '$d' "$TOY/patches/cover-letter.txt"
cp "$TOY/patches/v0.2/recipients" "$TAP_DIR/recipients"
sed -i '/^\[selftest\]/,$d' "$TOY/patches/v0.2/recipients"
send 'Jane Doe' jane@doe.org "${ready[@]}"
ok "nobody to send a patch to" exits 1 'recipients has nobody for selftest'
cp "$TAP_DIR/recipients" "$TOY/patches/v0.2/recipients"
mkdir "$TAP_DIR/mine" && echo precious >"$TAP_DIR/mine/file"
send 'Jane Doe' jane@doe.org --dry-run --output "$TAP_DIR/mine"
ok "a folder that is not empty" exits 2 "is not empty: name a new directory"
ok "and is as it was" grep -q precious "$TAP_DIR/mine/file"
ok "nothing was written by any of these" [ ! -e "$MAILS" ]

send 'Jane Doe' jane@doe.org "${ready[@]}" --repository ~/series
ok "a repository that nobody else can read" exits 2 "--repository '.*/series': must be an http or https URL"
send 'Jane Doe' jane@doe.org "${ready[@]}" --repository https://git.doe.org/series
ok "a repository" exits 0 '^Nothing was sent'
ok "is not asked for" without 'where its repository is'
ok "the cover letter names it" grep -qx 'Repository: https://git.doe.org/series' "$MAILS"/0000-cover-letter.patch
send 'Jané Doe' jane@doe.org "${ready[@]}" --version 2
ok "no repository" exits 0 '^warning: the cover letter does not say where its repository is: --repository URL'
ok "the cover letter names none" [ "$(grep -c '^Repository:' "$MAILS"/v2-0000-cover-letter.patch)" -eq 0 ]
ok "four mails" exits 0 '^0000 +.*\[RFC PATCH v2 0/3\] mm: one check' '\[RFC PATCH v2 1/3\] mm: first step' \
	'\[RFC PATCH v2 2/3\] mm: second step' '\[RFC PATCH v2 3/3\] selftests/mm: add per_vma_lock' \
	'^MAIL +TO +CC +KB +SUBJECT' '^0003 +[0-9]+ +[0-9]+ +[1-9] ' '^Nothing was sent' 'git send-email --thread .*/mails.?/\*.patch'
ok "none of them is large" without '^warning: above'
ok "which the command given leaves their Cc" without 'suppress-cc=(all|cc)'
mapfile -t mails < <(ls "$MAILS"/*.patch)
cp -r "$MAILS" "$TAP_DIR/first-mails"
every() {
	local file
	for file in "${mails[@]}"; do
		grep -qE "$1" "$file" || { echo "$file" && return 1; }
	done
}
ok "everybody is told: To" every '^To: '
ok "everybody is told: Matthew Wilcox" every 'Matthew Wilcox <willy@infradead.org>'
ok "a name that is not ASCII is encoded" every '^From: (=\?UTF-8\?q\?Jan=C3=A9=20Doe\?=|Jané Doe) <jane@doe.org>'
ok "in Cc too" grep -q '=?UTF-8?q?Rest=20Bj=C3=B6rn?= <rest@linux.dev>' "${mails[1]}"
ok "the cover letter's text" grep -q '^this is why\.$' "${mails[0]}"

# The mails, taken as a maintainer takes them.
toy_git checkout -q -f --detach base
ok "git am takes them" toy_git am -q "${mails[@]:1}"
trailers() {
	[ "$(toy_git log --format='%an <%ae>%n%(trailers:key=Signed-off-by,valueonly,separator=%x2C)' base..HEAD |
		sort -u)" = 'Jané Doe <jane@doe.org>' ]
}
ok "author and Signed-off-by are the sender's" trailers
ok "the selftest is as it is here, the benchmark apart" diff -r -x bench "$TOY/tools-testing-selftests-mm/per_vma_lock" \
	"$TOY_TREE/tools/testing/selftests/mm/per_vma_lock"
ok "  which is not in it" [ ! -e "$TOY_TREE/tools/testing/selftests/mm/per_vma_lock/bench" ]
ok "the kselftest build finds it" grep -qx 'TARGETS += mm/per_vma_lock' "$TOY_TREE/tools/testing/selftests/Makefile"
ok "git does not ignore its source" [ -z "$(touch "$TOY_TREE/tools/testing/selftests/mm/per_vma_lock/new.cc" &&
	toy_git check-ignore tools/testing/selftests/mm/per_vma_lock/new.cc)" ]
ok "MAINTAINERS has it in the entry" grep -q 'F:	tools/testing/selftests/mm/per_vma_lock/' \
	<(sed -n '/^MEMORY MAPPING - LOCKING/,/^$/p' "$TOY_TREE/MAINTAINERS")
ok "the cache has no branch left" [ -z "$(git -C "$TOY_CACHE/per-vma-anon/linux.git" branch --list 'per-vma-anon-send')" ]

printf '// %099d\n' {1..1100} >"$TOY/tools-testing-selftests-mm/per_vma_lock/large.cc"
send 'Jané Doe' jane@doe.org "${ready[@]}"
ok "one above 100 kB" exits 0 '^warning: above 100 kB, .*: 0003-selftests-.*\.patch$'
rm "$TOY/tools-testing-selftests-mm/per_vma_lock/large.cc"

# The same from a folder, and with a cache, of another sort of name.
cp -r "$TOY" "$TAP_DIR/it's a copy"
mkdir -p "$TAP_DIR/its own c'ache/per-vma-anon"
cp -r "$TOY_CACHE/per-vma-anon/linux.git" "$TAP_DIR/its own c'ache/per-vma-anon/"
from=$TOY own=$TOY_CACHE TOY="$TAP_DIR/it's a copy" TOY_CACHE="$TAP_DIR/its own c'ache"
send 'Jané Doe' jane@doe.org "${ready[@]}" --version 2
ok "spaces and an apostrophe in the path" exits 0 '^Nothing was sent'
ok "the same mails" [ "$(tail -qn +2 "$MAILS"/*.patch | grep -v '^Date:' | sha256sum)" = \
	"$(tail -qn +2 "$TAP_DIR"/first-mails/*.patch | grep -v '^Date:' | sha256sum)" ]
ok "that cache has no branch left either" [ -z "$(git -C "$TOY_CACHE/per-vma-anon/linux.git" branch --list 'per-vma-anon-send')" ]
capture toy review --only am,format --output "$TAP_DIR/an other/report"
ok "scripts/review from there" exits 0 'verdict: good \(4 good'
patch_ids_of() {
	# shellcheck source=scripts/lib/bench-report.sh
	. "$PVA_LIB/bench-report.sh"
	PVA_PATCHES=$TOY/patches
	[ "$(patch_ids v0.2 | wc -w)" -eq 2 ]
}
ok "scripts/bench names its patches there" patch_ids_of
TOY=$from TOY_CACHE=$own

sed -i 's/^ \tcheck();$/ \tcheck(0);/' "$TOY"/patches/v0.2/0002*
send 'Jane Doe' jane@doe.org "${ready[@]}"
ok "a patch that does not apply" exits 1 'patches/v0.2/0002-.*does not apply'
done_testing
