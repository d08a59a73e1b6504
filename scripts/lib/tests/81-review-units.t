#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The parts of scripts/review that compile, boot and download, without doing so:
# how they judge.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
for part in rows compile matrix tests neighbours; do
	# shellcheck source=scripts/lib/review-rows.sh
	. "$PVA_LIB/review-$part.sh"
done
REVIEW_OUTPUT=$TAP_DIR REVIEW_BASE=v0.2 REVIEW_CACHE=$TAP_DIR/review REVIEW_WORK=$TAP_DIR/work
mkdir "$REVIEW_WORK"
# shellcheck disable=SC2034 # for review-neighbours.sh
neighbour_dir=$REVIEW_CACHE/neighbours

# A cell is what the two functions below print instead of compiling.
cell() {
	cat "$TAP_DIR/cell.$5"
}
cell_is() {
	jq -n --argjson objects "$2" --arg message "$3" --arg failed "$4" '{ objects: $objects, text: 100,
		messages: ($message | split(";") | map(select(. != ""))), failed: ($failed | split(";") | map(select(. != ""))) }' \
		>"$TAP_DIR/cell.$1"
}
judged() {
	[ "$(cell_pair x86_64 gcc defconfig none | jq -r '"\(.verdict) \(.detail)"')" = "$1" ] ||
		{ cell_pair x86_64 gcc defconfig none && return 1; }
}
cell_is base 3 'mm/memory.c:10:5: warning: old' ''
cell_is patched 3 'mm/memory.c:12:5: warning: old' ''
ok "a warning that was there before, on another line" judged 'good '
cell_is base 3 'mm/hugetlb.c:9:2-8: preceding lock on line 5' ''
cell_is patched 3 'mm/hugetlb.c:11:2-8: preceding lock on line 7' ''
ok "one that names another line that has moved" judged 'good '
cell_is base 3 'mm/rmap.c:2964:25-44: WARNING: before object free at line 2965.' ''
cell_is patched 3 'mm/rmap.c:2987:25-44: WARNING: before object free at line 2988.' ''
ok "with a full stop" judged 'good '
cell_is base 3 'mm/huge_memory.c:3868:6-11: ERROR: iterator variable bound on line 3866 cannot be NULL' ''
cell_is patched 3 'mm/huge_memory.c:3885:6-11: ERROR: iterator variable bound on line 3883 cannot be NULL' ''
ok "in the middle" judged 'good '
cell_is base 3 'mm/memory.c:10:5: warning: old' ''
cell_is patched 3 'mm/memory.c:12:5: warning: old;mm/memory.c:20:1: warning: new' ''
ok "a new warning" judged 'bad 1 new messages: mm/memory.c: warning: new'
cell_is patched 3 'mm/memory.c:12:5: warning: old;mm/memory.c:20:5: warning: old' ''
ok "the same warning once more" judged 'bad 1 new messages: mm/memory.c: warning: old'
cell_is patched 2 '' 'make[2]: *** [mm/memory.o] Error 1'
ok "an object that does not compile" judged 'bad does not compile: mm/memory.o'
cell_is base 2 '' 'make[2]: *** [mm/memory.o] Error 1'
ok "one that does not compile unpatched either, as the configuration does not have it" judged 'good '
cell_is base 2 '' 'make[5]: *** [scripts/Makefile.build:295: mm/memory.o] Error 1'
ok "in another level of make" judged 'good '
cell_is patched 2 'mm/memory.c:12:5: error: implicit declaration of function' 'make[2]: *** [mm/memory.o] Error 1'
ok "whatever its errors are" judged 'good '
sparse_judged() {
	[ "$(cell_pair x86_64 gcc defconfig none C=2 | jq -r .verdict)" = "$1" ]
}
ok "but not those of sparse" sparse_judged bad
cell_is base 2 'mm/rmap.c:12:5: error: old' ''
ok "an error in what does not compile any more" judged 'bad does not compile: mm/memory.o'
cell_is base 3 '' ''
cell_is patched 2 '' ''
ok "an object that is not there any more" judged 'bad 1 objects fewer than unpatched'
cell_is base 3 "$(printf 'mm/memory.c:%d:5: warning: old;' {1..4000})" ''
cp "$TAP_DIR/cell.base" "$TAP_DIR/cell.patched"
ok "thousands of warnings that were there before" judged 'good '
cell_is base 0 '' ''
cell_is patched 0 '' ''
ok "nothing compiled" judged 'bad no object was compiled'

quiet() {
	[ "$(cell_judged x86_64 gcc defconfig none | jq -c '[.verdict, .objects, .text_base, .text_patched]')" = "$1" ]
}
rm "$TAP_DIR/cell.base"
cell_is patched 3 '' ''
ok "nothing to say: not compiled unpatched" quiet '["good",3,null,100]'
cell_is base 3 '' ''
cell_is patched 3 'mm/memory.c:20:1: warning: new' ''
ok "something to say: compiled unpatched, too" quiet '["bad",3,100,100]'
cell_is base 3 'mm/memory.c:10:1: warning: new' ''
ok "which may have said it as well" quiet '["good",3,100,100]'

# What is compiled: 4 kinds, each as it is and with 5 options off; of a backport less.
mkdir -p "$TAP_DIR"/bases/v0.{1,2}
touch "$TAP_DIR"/bases/v0.{1,2}/base
cells_are() {
	[ "$(PVA_PATCHES=$TAP_DIR/bases REVIEW_BASE=$1 REVIEW_FULL=$4 matrix_cells "$2" "$3" | wc -l)" -eq "$5" ]
}
ok "the whole matrix for the newest base" cells_are v0.2 arm64 clang '' 24
ok "for another one the options stay on" cells_are v0.1 arm64 clang '' 4
ok "but on x86_64" cells_are v0.1 x86_64 clang '' 24
ok "with clang" cells_are v0.1 x86_64 gcc '' 4
ok "and with --full" cells_are v0.1 arm64 clang 1 24

# Two objects are compiled at once, with a message each that comes in pieces.
mkdir -p "$REVIEW_CACHE/source/v0.2"
# shellcheck disable=SC2016 # for make
printf 'a b:\n\t@printf "mm/$@.c:1:1: "; sleep 0.5; echo "warning: of $@"\n' >"$REVIEW_CACHE/source/v0.2/Makefile"
messages_are_whole() {
	[ "$(PVA_JOBS=2 cell_make x86_64 gcc a b | grep -cxE 'mm/[ab]\.c:1:1: warning: of [ab]')" -eq 2 ]
}
ok "messages of objects that are compiled at once do not mix" messages_are_whole

# cell_json reads what make left behind.
mkdir -p "$TAP_DIR/out/mm" "$TAP_DIR/tree"
echo 'int f(int x) { return x * 3; }' | gcc -x c -c -o "$TAP_DIR/out/mm/a.o" -
{
	echo '../mm/a.c:3:1: warning: unused'
	echo "make[3]: *** No rule to make target 'mm/b.o'.  Stop."
	echo 'make[2]: *** [/k/scripts/Makefile.build:544: mm] Error 2'
} >"$TAP_DIR/log"
json() {
	local got
	got=$(cell_json "$TAP_DIR/out" "$TAP_DIR/log" "$TAP_DIR/tree" mm/a.o mm/b.o | jq -c "$1") || return
	[ "$got" = "$2" ] || { echo "$got" && return 1; }
}
ok "objects that the configuration has" json .objects 1
ok "their text" json '.text > 3' true
ok "messages" json .messages '["mm/a.c:3:1: warning: unused"]'
ok "an object that it has not is no failure" json '.failed' '[]'
echo 'make[4]: *** [/k/scripts/Makefile.build:289: mm/b.o] Error 1' >>"$TAP_DIR/log"
ok "an object that fails is one" json '.failed | length' 1

ok "versions: older" version_below 0.60.1 0.71.1
ok "versions: as many digits" version_below 1.9.0 1.85.0
not() {
	! "$@"
}
ok "versions: the same" not version_below 1.85.0 1.85.0
ok "versions: newer" not version_below 1.100.0 1.85.0

# A result is remembered only when the command succeeded.
ok "a failure" not cached "$(key_of a)" false
ok "is tried again" cached "$(key_of a)" echo once
ok "and then remembered" [ "$(cached "$(key_of a)" echo twice)" = once ]

# Neighbours: a patch on trees that are more and more different.
mkdir -p "$TAP_DIR/patches/v0.2" "$TAP_DIR/near/mm"
PVA_PATCHES=$TAP_DIR/patches
printf 'line %d\n' {1..40} >"$TAP_DIR/near/mm/memory.c"
sed 's/^line 20$/line 20, patched/' "$TAP_DIR/near/mm/memory.c" |
	diff -u --label a/mm/memory.c --label b/mm/memory.c "$TAP_DIR/near/mm/memory.c" - \
		>"$TAP_DIR/patches/v0.2/0001-test.patch" || true
applies_as() {
	local got
	got=$(neighbour_applies "$TAP_DIR/near" | cut -f 1) || return
	[ "$got" = "$1" ] || { neighbour_applies "$TAP_DIR/near" && return 1; }
}
ok "the same source: clean" applies_as clean
sed -i '1i new' "$TAP_DIR/near/mm/memory.c"
ok "a line more at the top: offsets" applies_as offsets
sed -i 's/^line 18$/line 18, other/' "$TAP_DIR/near/mm/memory.c"
ok "another line of context, which patch(1) would call fuzz: rejected" applies_as rejected
# one_after_the_other: whoever has read the answer is not in the way of the next one.
one_after_the_other() {
	# shellcheck disable=SC2317 # called in place of the program
	rm() {
		sleep 0.5
		command rm "$@"
	}
	local answer
	IFS= read -r answer < <(neighbour_applies "$TAP_DIR/near")
	[[ $answer == rejected* ]] && [ -z "$(find "$TAP_DIR" -name neighbour -o -name 'neighbour.*')" ]
}
ok "nothing is being removed any more when the answer is there" one_after_the_other
ok "offers outside of the range are left out" not grep -q . <(
	mkdir -p "$REVIEW_CACHE/neighbours"
	printf 'package linux-source-6.1 6.1.100-1\nupstream linux 7.5.1-1\n' >"$REVIEW_CACHE/neighbours/sid.offers"
	neighbour_list
)
ok "an upstream version in several suites is listed once" [ "$(
	printf 'upstream linux 7.2.8-1\n' >"$REVIEW_CACHE/neighbours/sid.offers"
	printf 'upstream linux 7.2.8-1~bpo13+1\n' >"$REVIEW_CACHE/neighbours/trixie.offers"
	neighbour_list | wc -l
)" = 1 ]
done_testing
