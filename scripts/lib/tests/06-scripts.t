#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Unit tests of what the scripts and their tests have in common.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"

# without_tools SCRIPT OPTION...: on a machine that could not build anything, so that
# a script that does not refuse its options gets no further.
mkdir "$TAP_DIR/tools"
find /usr/bin /bin -maxdepth 1 ! -type d ! -name 'qemu*' ! -name 'g*[gc][+c]*' \
	-exec ln -sf -t "$TAP_DIR/tools" {} + 2>/dev/null || true
without_tools() {
	local script=$1
	shift
	env PATH="$TAP_DIR/tools" XDG_CACHE_HOME="$TAP_DIR/cache" "$PVA_TOP/scripts/$script" --no-install "$@"
}
for script in run review bench; do
	capture without_tools $script
	ok "scripts/$script without the tools it needs" exits 4 'missing Debian packages: .*gcc' 'not installed, as --no-install says'
done

capture without_tools bench --base typo
ok "scripts/bench refuses an unknown base first" exits 2 "unknown base 'typo'"
capture without_tools bench --config typo
ok "an unknown configuration" exits 2 "unknown configuration 'typo'"
capture without_tools bench --config debug
ok "one whose checks would be measured" exits 2 "--config 'debug': its checks would be measured"
mkdir "$TAP_DIR/no-kernel"
capture without_tools bench --mainline "$TAP_DIR/no-kernel" --patched "$TAP_DIR/no-kernel"
ok "a directory without a kernel" exits 2 'need a directory with bzImage'
capture without_tools bench --patched "$TAP_DIR/no-kernel" --variants
ok "options that exclude each other" exits 2 'does not go with --mainline'

# A test file whose second test dies in the function that it calls, and whose third
# one does so in a captured one.
cat >"$TAP_DIR/dies.t" <<'TEST'
. "$PVA_LIB/tests/tap.sh"
set -euo pipefail
ok "before" true
ok "dies" die 3 "no such thing"
capture die 2 "neither this"
ok "captured" exits 2 "neither this"
ok "after" true
done_testing
TEST
whole_file() {
	grep -qx 'not ok 2 - dies' "$OUT" && grep -qx '# .*: no such thing' "$OUT" && grep -qx 'ok 4 - after' "$OUT"
}
capture env PVA_LIB="$PVA_LIB" bash "$TAP_DIR/dies.t"
ok "a test that dies is one that fails, and the next ones run" exits 0 '^ok 3 - captured' '^1\.\.4$'
ok "  and it says why" whole_file

# Packages, with an apt-get that brings one file, whatever it is asked for.
mkdir "$TAP_DIR/apt"
printf '#!/bin/sh\nexec "$@"\n' >"$TAP_DIR/apt/sudo"
cat >"$TAP_DIR/apt/apt-get" <<SCRIPT
#!/bin/sh
echo "\$@" >>"$TAP_DIR/apt/asked"
touch "$TAP_DIR/apt/file"
SCRIPT
chmod +x "$TAP_DIR"/apt/*
with_apt() {
	rm -f "$TAP_DIR"/apt/{asked,file}
	PATH=$TAP_DIR/apt:$PATH PVA_CACHE=$TAP_DIR/cache PVA_NO_INSTALL='' need_packages "$@"
}
asked_for() {
	grep -q "install.* $1\$" "$TAP_DIR/apt/asked"
}
capture with_apt "brings-it:$TAP_DIR/apt/file" "has-it:$TAP_DIR/apt/sudo"
ok "a missing package is installed" exits 0 'missing Debian packages: brings-it$'
ok "  and no other" asked_for brings-it
capture with_apt "brings-it:$TAP_DIR/apt/file" "no-good:$TAP_DIR/apt/elsewhere"
ok "one that does not bring what it is needed for" exits 3 'does not bring what is needed: no-good$'

# Options that a script gives to those that it starts, as scripts/run does to fault-cost.
cat >"$TAP_DIR/parent" <<'SCRIPT'
. "$PVA_LIB/common.sh"
PVA_JOBS=7 PVA_VERBOSE=1 PVA_NO_INSTALL=1
bash -c '. "$1/common.sh"; echo "$PVA_JOBS,$PVA_VERBOSE,$PVA_NO_INSTALL"' - "$PVA_LIB"
SCRIPT
capture env -u PVA_JOBS -u PVA_VERBOSE -u PVA_NO_INSTALL PVA_LIB="$PVA_LIB" bash "$TAP_DIR/parent"
ok "--jobs, --verbose and --no-install reach the scripts that a script starts" exits 0 '^7,1,1$'

# suite_is LINE SUITE [MIRROR]: the site in suite_line, on a machine whose apt has LINEs.
suite_is() {
	# shellcheck disable=SC2317 # called in place of the program
	apt-get() { printf '%b' "$apt_has"; }
	local PVA_MIRROR=${3-} got
	got=$(suite_line "$2") || return
	got=${got#*] }
	[ "$got" = "$1 $2 main" ] || { echo "$got" && return 1; }
}
main='bookworm http://deb.debian.org/debian/ /none\n'
apt_has=$main'bookworm-security http://security.debian.org/debian-security/ /none\n'
ok "a suite that apt has" suite_is http://deb.debian.org/debian/ bookworm
ok "its security suite" suite_is http://security.debian.org/debian-security/ bookworm-security
for mirror in http://mirror.invalid/debian http://mirror.invalid/debian/; do
	ok "PVA_MIRROR=$mirror" suite_is $mirror bookworm $mirror
	ok "  its security suite" suite_is http://mirror.invalid/debian-security/ bookworm-security $mirror
done
ok "another directory" suite_is http://mirror.invalid/pub/debian-security/ bookworm-security http://mirror.invalid/pub/debian
ok "an archive of all days" suite_is http://snapshot.invalid/archive/debian-security/20261101T000000Z/ bookworm-security \
	http://snapshot.invalid/archive/debian/20261101T000000Z/
ok "one that is the security archive itself" suite_is http://mirror.invalid/debian-security/ bookworm-security \
	http://mirror.invalid/debian-security
ok "one whose directory is not called debian" suite_is http://mirror.invalid/deb/debian-security/ bookworm-security \
	http://mirror.invalid/deb
ok "a suite that apt has not" suite_is http://deb.debian.org/debian/ trixie
apt_has=$main
ok "a security suite that apt has not" suite_is http://deb.debian.org/debian-security/ trixie-security
apt_has=''
ok "an apt that has nothing, with a mirror" suite_is http://mirror.invalid/debian bookworm http://mirror.invalid/debian
capture suite_is nothing bookworm
ok "an apt that has nothing" exits 3 'names no Debian mirror: set PVA_MIRROR'
capture suite_is nothing bookworm-security
ok "its security suite" exits 3 'names no Debian mirror: set PVA_MIRROR'

# --output DIR
capture output_new "$TAP_DIR/a/new one"
ok "an --output that is new" exits 0
capture output_new "$TAP_DIR/a/new one"
ok "one that is empty" exits 0
touch "$TAP_DIR/a/new one/.hidden"
capture output_new "$TAP_DIR/a/new one"
ok "one that is not empty" exits 2 "--output '.*/new one': is not empty: name a new directory"
ok "  which is as it was" [ "$(ls -A "$TAP_DIR/a/new one")" = .hidden ]
capture output_new "$TAP_DIR/dies.t"
ok "one that is a file" exits 2 "--output '.*/dies.t': is no directory"
for script in run review bench; do
	capture without_tools $script --output "$TAP_DIR/a/new one"
	ok "scripts/$script takes no directory that has something in it" exits 2 'is not empty'
done
done_testing
