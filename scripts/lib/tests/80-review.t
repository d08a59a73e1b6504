#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# scripts/review on a kernel of a few lines: each row is good for a good series,
# and bad for one that has what the row is there to find.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/tests/toy.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/toy.sh"
need_packages git jq perl codespell python3
toy_make

capture toy review --nonsense
ok "unknown option" exits 2 "unknown option '--nonsense': see --help"
capture toy review --base v9.9
ok "unknown base" exits 2 "unknown base 'v9.9': there is v0.2"
capture toy review --only am,nonsense
ok "unknown row" exits 2 "unknown row 'nonsense': there is am format"
capture toy review --only
ok "an option without its value" exits 2 "--only needs a value"
capture toy review --quick --full
ok "options that exclude each other" exits 2 "--quick and --full exclude each other"
capture toy review --output /proc/nothing
ok "an output that cannot be made" exits 3 "--output '/proc/nothing': cannot be made"

# What has the names of the rows' own files is the user's, too.
mkdir -p "$REPORT/size" "$REPORT/format-v0.2" && echo precious >"$REPORT/size/file"
capture toy review --only size,format --output "$REPORT"
ok "an output that is not empty" exits 2 "--output '.*/report': is not empty: name a new directory"
ok "is as it was" grep -q precious "$REPORT/size/file"

rows=am,format,checkpatch,codespell,kernel-doc,maintainers,recipients,callers,size
toy_review $rows
ok "a good series: exit code" exits 0 'verdict: good \(11 good, 0 bad, 0 skipped\)'
for row in am 'am patch 1 alone' 'am without exports' format checkpatch codespell kernel-doc maintainers recipients \
	callers size; do
	ok "a good series: $row" is good "$row"
done
ok "checkpatch names its exceptions" is good checkpatch '2 MISSING_SIGN_OFF'
ok "nothing but the report and the logs is left" [ "$(cd "$REPORT" && echo *)" = 'cells.jsonl logs report.json report.md rows.jsonl size.md' ]
ok "nor in the cache" [ -z "$(find "$TOY_CACHE/per-vma-anon/review" -maxdepth 1 -name 'work.*')" ]
ok "the report in Markdown" grep -q '^| good *| v0.2 *| callers ' "$REPORT/report.md"

# is_bad ROW PATTERN WHAT: the row is bad, and so the exit code.
is_bad() {
	toy_review "${1%% *}"
	ok "$3: $1 is bad" is bad "$1" "$2"
	ok "$3: exit code" exits 1 '^verdict: bad'
}

toy_series 's/^int another(void)$/& /'
is_bad checkpatch '2 messages but 2 MISSING_SIGN_OFF' "a trailing space"
toy_series '' 'Take away the rest, wich is the second step.'
is_bad codespell '1 words' "a misspelt changelog"
toy_series 's/^int another/\/**\n * another - does it\n * @nobody: no such argument\n *\/\n&/'
is_bad kernel-doc '1 new|[0-9]+ new' "kernel-doc of an argument that is not there"
toy_series 's/^\tcheck();$/\tvmf_anon_prepare(\&(struct vm_fault) { .flags = 0 });/'
is_bad callers '2 differences' "unknown callers"
ok "the unknown caller is named" grep -q 'unknown caller: mm/memory.c.first.vmf_anon_prepare.&(struct vm_fault)' \
	"$REPORT/logs/v0.2-callers"
toy_series 's/vmf_anon_prepare(vmf)/vmf_anon_prepare(NULL)/'
is_bad callers '2 differences' "a known caller that passes something else"
toy_series 's/vmf_anon_prepare(vmf)/0/'
is_bad callers 'no call of' "callers that are all gone"
toy_series 's/^int another.*/int lock_it(void)\n{\n\treturn lock_vma_under_rcu(mm,\n\t\t\t\t  address, 0);\n}\n\n&/; s/(vmf);$/(vmf); \/* vmf_anon_prepare(2) *\//'
is_bad callers '1 differences' "a call on two lines, and one in a comment"
ok "its arguments are put together" grep -q 'mm/memory.c.lock_it.lock_vma_under_rcu.mm, address, 0$' \
	"$REPORT/logs/v0.2-callers"
toy_series 's/^int another/int more(void)\n{\n\treturn 0;\n}\n\n&/'
is_bad size 'patch 2 \+4 -1, sum \+4 -2 = \+2' "more added than removed"
toy_series 's/^int another/\/*\n * Many\n * lines\n *\/\n&/'
toy_review size
ok "comments are no code" is good size 'patch 2 \+0 -1'
toy_series 's/^int lock_vma(void)$/int lock_vmas(void)/'
toy_review am
ok "a patch that does not need an export's line" is good 'am without exports'
toy_series '/^EXPORT_SYMBOL_GPL/ { n; s/^$/\/* after *\/\n/ }'
is_bad 'am without exports' 'does not apply' "a patch that has an export of the distribution's as context"

toy_series ''
sed -i 's/^ \tcheck();$/ \tcheck(0);/' "$TOY"/patches/v0.2/0002*
is_bad am 'patches/v0.2/0002-.*does not apply.*the hunk at line [0-9]+ of mm/memory.c' "a mangled patch"
toy_series ''
sed -i 's/^Subject: \[PATCH 2\/2\] /&very /' "$TOY"/patches/v0.2/0002*
is_bad format 'give other bytes' "a patch edited by hand"
toy_series ''
sed -i '/linux-mm@kvack.org/d' "$TOY/patches/v0.2/recipients"
is_bad recipients 'out of date: scripts/review --recipients' "recipients that are out of date"
toy review --recipients >/dev/null 2>&1
toy_review recipients
ok "recipients written anew" is good recipients
sed -i 's/LOCKING/LOCKS/' "$TOY/MAINTAINERS.snippet"
is_bad maintainers "no entry 'MEMORY MAPPING - LOCKS'" "a snippet for an entry that there is not"
cp "$PVA_TOP/MAINTAINERS.snippet" "$TOY/"
mkdir "$TOY/patches/v0.1" && cp "$TOY/patches/v0.2/base" "$TOY/patches/v0.1/"
toy_review am
ok "a base without patches is a skip, not a failure" exits 0 'skip +v0.1 +all +patches/v0.1 has no patches'

if command -v spatch >/dev/null; then
	toy_git checkout -q -f --detach base
	mkdir -p "$TOY_TREE/scripts/coccinelle/null"
	cat >"$TOY_TREE/scripts/coccinelle/null/check.cocci" <<-'COCCI'
		// Options: --no-includes
		virtual report
		@r@
		position p;
		@@
		check@p(1)
		@script:python depends on report@
		p << r.p;
		@@
		coccilib.report.print_report(p[0], "a number")
	COCCI
	toy_git add -A -f && toy_git commit -q -m base && toy_git tag -f base >/dev/null
	toy_git push -q -f "$TOY_CACHE/per-vma-anon/linux.git" "base:refs/bases/$(base_sha)"
	toy_series ''
	toy_review coccinelle
	ok "Coccinelle finds nothing" is good coccinelle '1 checks on 2 files'
	toy_series 's/^\tcheck();$/\tcheck(1);/'
	is_bad coccinelle 'new messages' "what a check of the tree's is about"
else
	skip "Coccinelle" "spatch is not installed"
fi
done_testing
