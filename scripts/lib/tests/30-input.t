#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Bad input: one line that says what was wrong, with which value and what to do,
# the right exit code, and nothing of the user's touched.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/tests/mini.sh
. "$PVA_LIB/tests/mini.sh"
need_build_packages
need_guest_packages
mini_make

# mini COMMAND...: in the small repository's own cache.
mini() {
	(cd "$MINI" && env -u PVA_LOCKED XDG_CACHE_HOME="$MINI_CACHE" "$@")
}
run=scripts/run image=(scripts/lib/kernel-image --variant patched --base)

# Usage
capture mini $run --nonsense
ok "unknown option" exits 2 "unknown option '--nonsense': see --help"
capture mini $run --base v1.2
ok "unknown base" exits 2 "unknown base 'v1.2': there is v7.3 .*v0.1"
capture mini $run --jobs many
ok "a number that is none" exits 2 "--jobs 'many': must be a whole number above 0"
capture mini $run --smp 0
ok "no processor" exits 2 "--smp '0'"
capture mini $run --base
ok "an option without its value" exits 2 "--base needs a value"
capture mini $run --only both
ok "--only with another word" exits 2 "--only 'both': base or patched"
capture mini $run --accel warp
ok "unknown accelerator" exits 2 "--accel 'warp': auto, kvm or tcg"
capture mini $run --config release
ok "unknown configuration" exits 2 "unknown configuration 'release': fast, debug, kcsan or preempt"
capture mini $run --only base --variant patch1
ok "two ways to say which kernel" exits 2 "--only 'base' and --variant 'patch1' exclude each other"
capture mini $run --variant typo
ok "a variant that there is not, before anything is built" exits 2 "unknown variant 'typo'"
capture mini $run --filter "Fault.*'"
ok "a filter with a quote" exits 2 "--filter 'Fault.\*''"
capture mini $run --output /proc/nowhere
ok "--output that cannot be made, before anything is built" exits 3 "--output '/proc/nowhere': cannot be made"
capture mini $run --expect ''
ok "an option with an empty value" exits 2 "--expect needs a value"
capture "$PVA_TOP/scripts/test" input nonsense
ok "a test that there is not beside one that there is" exits 2 "no test is called 'nonsense'"
capture mini "${image[@]}" v0.1 --variant patch7
ok "a variant with more patches than there are" exits 2 "patches/v0.1 has 2 patches"
capture mini scripts/test --nonsense
ok "unknown option of scripts/test" exits 2 "unknown option '--nonsense'"
capture mini scripts/test no-such-test
ok "unknown test" exits 2 "no test is called 'no-such-test'"
if ! grep -qwE 'vmx|svm' /proc/cpuinfo; then
	capture mini $run --base v0.1 --accel kvm
	ok "--accel kvm without KVM" exits 4 "no usable KVM here"
fi

# The user's own tree
tree=$TAP_DIR/own
own_tree() {
	rm -rf "$tree" && cp -r "$TAP_DIR/linux-source-0.1" "$tree" && git -C "$tree" init -q &&
		git -C "$tree" add -A && git -C "$tree" -c user.name=u -c user.email=u@localhost commit -q -m own
}
own_state() {
	git -C "$tree" rev-parse HEAD
	git -C "$tree" --no-optional-locks status --porcelain
	(cd "$tree" && find . -type f -not -path './.git/*' -print0 | sort -z | xargs -0 sha256sum)
	(cd "$tree" && find . -not -path "./.git*" -printf '%p %T@ %m\n' | sort)
}
untouched() {
	own_state | diff "$TAP_DIR/before" -
}
capture mini $run --base v0.1 --tree "$TAP_DIR/nowhere"
ok "--tree that does not exist" exits 2 "--tree: there is no directory '.*/nowhere'"
mkdir "$TAP_DIR/empty"
capture mini $run --base v0.1 --tree "$TAP_DIR/empty"
ok "--tree that is no kernel" exits 2 "'.*/empty' is no Linux kernel source"
own_tree
sed -i 's/^line 31$/another line/' "$tree/mm/memory.c"
own_state >"$TAP_DIR/before"
capture mini $run --base v0.1 --tree "$tree"
ok "--tree with uncommitted changes" exits 2 "uncommitted changes \(1 files, first: mm/memory.c\)"
ok "  and they are still there" untouched
git -C "$tree" -c user.name=u -c user.email=u@localhost commit -q -a -m change
own_state >"$TAP_DIR/before"
capture mini $run --base v0.1 --tree "$tree"
ok "--tree of another version: the patch and the hunk" \
	exits 1 "patches/v0.1/0002-test.patch does not apply to this source: the hunk at line 27 of mm/memory.c"
ok "  and it is untouched" untouched
rm -rf "$tree/.git"
files_of() {
	(cd "$tree" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}
files_of >"$TAP_DIR/before"
capture mini $run --base v0.1 --tree "$tree"
ok "the same tree without git" exits 1 "0002-test.patch does not apply .* the hunk at line 27 of mm/memory.c"
ok "  and it is untouched" diff <(files_of) "$TAP_DIR/before"

# Disk, package, download
mkdir "$TAP_DIR/bin"
printf '#!/bin/sh\necho head\necho disk 1 1 2000000 1%% /\n' >"$TAP_DIR/bin/df"
chmod +x "$TAP_DIR/bin/df"
rm -rf "$MINI_CACHE"
capture mini env PATH="$TAP_DIR/bin:$PATH" "${image[@]}" v0.1
ok "no space in the cache" exits 3 "needs 6 GiB in .*, which has 1 GiB left: free some, or set XDG_CACHE_HOME"
capture mini env PVA_MIRROR=http://127.0.0.1:9/debian "${image[@]}" v0.1
ok "package source unreachable" exits 3 "cannot read the package index of bookworm: check the network and PVA_MIRROR="
ok "  and nothing is left that looks like a package" [ -z "$(ls "$MINI_CACHE/per-vma-anon/package")" ]
mkdir -p "$MINI_CACHE/per-vma-anon/package"
echo damaged >"$MINI_CACHE/per-vma-anon/package/linux-source-0.1_0.1.deb"
capture mini "${image[@]}" v0.1
ok "wrong checksum" exits 3 "wrong SHA-256 for linux-source-0.1 0.1: expected [0-9a-f]{64}, got" \
	'set aside as .*linux-source-0.1_0.1.deb.bad and not used'
quarantined() {
	grep -qx damaged "$MINI_CACHE/per-vma-anon/package/linux-source-0.1_0.1.deb.bad" &&
		[ ! -e "$MINI_CACHE/per-vma-anon/package/linux-source-0.1_0.1.deb" ]
}
ok "  and the file is out of the way" quarantined
# A small real package, with the wrong checksum, by the whole way.
sed -i 's/^package=.*/package=hello/; s/^version=.*/version=2.10-3/' "$MINI/patches/v0.1/base"
capture mini "${image[@]}" v0.1
ok "wrong checksum of a real download" exits 3 "wrong SHA-256 for hello 2.10-3: expected"
sed -i 's/^version=.*/version=2.10-99/' "$MINI/patches/v0.1/base"
capture mini "${image[@]}" v0.1
ok "a version that the suite does not have" exits 3 "cannot download hello=2.10-99 from bookworm"
system_files() {
	find /etc/apt /var/lib/apt/lists -type f -newer "$MINI/patches/v0.1/base" 2>/dev/null | grep . && return 1
	return 0
}
ok "  and the system's apt was not changed" system_files

# Tools that are missing
mkdir "$TAP_DIR/tools"
for dir in /usr/local/bin /usr/bin /bin /usr/sbin /sbin; do
	find "$dir" -maxdepth 1 ! -type d ! -name 'qemu*' -exec ln -sf -t "$TAP_DIR/tools" {} + 2>/dev/null
done
capture mini env PATH="$TAP_DIR/tools" $run --base v0.1 --no-install
ok "QEMU is missing, --no-install" exits 4 "missing Debian packages: qemu-system-x86$" "apt-get install qemu-system-x86"

# Two at once
mini_make
mini_image base >/dev/null 2>&1
exec 8>"$MINI_CACHE/per-vma-anon/lock"
flock 8
echo "process 4711 (scripts/run) since 12:00:00" >"$MINI_CACHE/per-vma-anon/lock.holder"
(sleep 3 && flock -u 8) &
SECONDS=0
capture mini "${image[@]}" v0.1 --variant base 8>&-
waited() {
	[ $SECONDS -ge 2 ]
}
ok "two at once: the second says who and waits" exits 0 "in use by process 4711 \(scripts/run\) since 12:00:00; waiting"
ok "  really" waited
done_testing
