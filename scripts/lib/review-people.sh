# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The rows of scripts/review about people: recipients, and the selftest's entry
# in MAINTAINERS. Needs review-rows.sh; maintainers_with_snippet needs nothing.

# recipients_now: what patches/BASE/recipients has to say.
recipients_now() {
	local tree patch
	tree=$(review_tree base)
	cat <<-'TEXT'
		# SPDX-License-Identifier: GPL-2.0
		#
		# Who gets each patch: scripts/get_maintainer.pl of the tree that the patches are
		# for; "scripts/review --recipients" writes this file. To: the maintainers of the
		# MEMORY sections; Cc: everyone else who is printed. Matthew Wilcox is not printed
		# for these files, but wrote the code that the series changes: he is on Cc.
	TEXT
	while read -r patch; do
		printf '\n[%s]\n' "${patch##*/}"
		recipients_of "$tree" "$patch"
	done < <(base_patches "$REVIEW_BASE")
	printf '\n[selftest]\n'
	maintainers_with_snippet "$tree" >"$REVIEW_WORK/maintainers"
	selftest_patch >"$REVIEW_WORK/selftest.patch"
	recipients_of "$tree" --no-tree --mpath="$REVIEW_WORK/maintainers" "$REVIEW_WORK/selftest.patch"
}

# selftest_patch: as much of the patch that adds the selftest as
# get_maintainer.pl looks at.
selftest_patch() {
	printf -- '--- /dev/null\n+++ b/%s\n@@ -0,0 +1 @@\n+\n' tools/testing/selftests/Makefile \
		"$(snippet_path)main.cc"
}

# snippet_entry, snippet_path: what MAINTAINERS.snippet names.
snippet_entry() {
	grep -m 1 -E '^[A-Z]' "$PVA_TOP/MAINTAINERS.snippet"
}

snippet_path() {
	sed -n 's/^F:[[:space:]]*//p' "$PVA_TOP/MAINTAINERS.snippet"
}

# recipients_of TREE ARGUMENT...: "To: ..." and "Cc: ..." lines.
recipients_of() {
	local list tree=$1
	shift
	list=$(cd "$tree" && ./scripts/get_maintainer.pl --no-git --no-git-fallback "$@") ||
		die 3 "get_maintainer.pl fails in $tree: see above"
	sed -E 's/^"([^"@.,]*)" </\1 </' <<<"$list" |
		awk '/\((maintainer|supporter):(MEMORY|HUGETLB)/ { sub(/ \([^()]*(\([^()]*\)[^()]*)*\)$/, ""); print "To: " $0; next }
		     { sub(/ \((moderated list|open list|maintainer|reviewer|supporter|odd fixer|subscriber list).*\)$/, ""); cc[++n] = $0 }
		     END { for (i = 1; i <= n; i++) print "Cc: " cc[i]; print "Cc: Matthew Wilcox <willy@infradead.org>" }'
}

review_recipients() {
	local log file=$PVA_PATCHES/$REVIEW_BASE/recipients
	log=$(row_log recipients)
	if [ ! -e "$file" ]; then
		row bad recipients "patches/$REVIEW_BASE/recipients is missing: scripts/review --recipients writes it"
		return
	fi
	diff -u --label "patches/$REVIEW_BASE/recipients" --label 'get_maintainer.pl now' "$file" <(recipients_now) >"$log" || true
	row_if_empty "$log" recipients "$(grep -c '^To: ' "$file") To, $(grep -c '^Cc: ' "$file") Cc, up to date" \
		"patches/$REVIEW_BASE/recipients is out of date: scripts/review --recipients writes it"
}

# recipients_write: brings that file up to date.
recipients_write() {
	local file=$PVA_PATCHES/$REVIEW_BASE/recipients
	recipients_now >"$file.new" && mv "$file.new" "$file"
	note "wrote patches/$REVIEW_BASE/recipients"
}

# maintainers_with_snippet TREE: TREE's MAINTAINERS with MAINTAINERS.snippet in
# the entry that the snippet names.
maintainers_with_snippet() {
	local entry pattern
	entry=$(snippet_entry)
	pattern=$(grep -m 1 '^F:' "$PVA_TOP/MAINTAINERS.snippet")
	awk -v entry="$entry" -v pattern="$pattern" '
		$0 == entry { inside = 1 }
		inside && /^F:/ && !done && $0 > pattern { print pattern; done = 1 }
		inside && $0 == "" { if (!done) print pattern; done = 1; inside = 0 }
		{ print }' "$1/MAINTAINERS"
}

review_maintainers() {
	local tree log entry path dir=$REVIEW_WORK/maintainers
	log=$(row_log maintainers)
	tree=$(review_tree base)
	entry=$(snippet_entry)
	path=$(snippet_path)
	maintainers_with_snippet "$tree" >"$dir.with"
	if cmp -s "$dir.with" "$tree/MAINTAINERS"; then
		if is_newest; then
			row bad maintainers "this tree has no entry '$entry'"
		else
			row skip maintainers "this tree has no entry '$entry': MAINTAINERS.snippet is for the newest base"
		fi
		return
	fi
	selftest_patch >"$dir.patch"
	(cd "$tree" && ./scripts/get_maintainer.pl --no-git --no-git-fallback --no-tree --sections \
		--mpath="$dir.with" "$dir.patch") >"$dir.found" 2>"$log" || true
	grep -q "^$entry\$" "$dir.found" || echo "get_maintainer.pl does not find '$entry' for ${path}main.cc" >>"$log"
	row_if_empty "$log" maintainers "get_maintainer.pl finds '$entry' for $path" "MAINTAINERS.snippet does not work"
}
