#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The cache: a base without any code of its own, only what changed is compiled,
# every variant is what it should be, and a run that was interrupted at any
# stage leaves nothing that changes the next one's result.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
# shellcheck source=scripts/lib/tests/mini.sh
. "$PVA_LIB/tests/mini.sh"
need_build_packages
mini_make

compiled=$TAP_DIR/compiled
# image_is VARIANT COMPILED PATTERN...: the image contains the PATTERNs, and what
# had to be compiled for it is COMPILED.
image_is() {
	local variant=$1 expected=$2 dir
	shift 2
	: >"$compiled"
	dir=$(mini_image "$variant" 2>"$TAP_DIR/stderr") || {
		cat "$TAP_DIR/stderr"
		return 1
	}
	for pattern; do
		case $pattern in
		!*) ! grep -qx "${pattern#!}" "$dir/vmlinux" ;;
		*) grep -qx "$pattern" "$dir/vmlinux" ;;
		esac || {
			echo "$dir/vmlinux: '$pattern' is wrong"
			return 1
		}
	done
	[ "$(sort "$compiled" | paste -sd' ')" = "$expected" ] || {
		echo "compiled: $(cat "$compiled")"
		return 1
	}
}
first='line 20, first patch' second='line 30, second patch'
cat >"$TAP_DIR/mutant.diff" <<'DIFF'
--- a/mm/memory.c
+++ b/mm/memory.c
@@ -10,3 +10,3 @@
 line 10
-line 11
+mutant
 line 12
DIFF

ok "a base is a folder with a base file: unpatched" image_is base "hugetlb memory" "!$first" "!$second"
ok "patched compiles what the patches touch" image_is patched "hugetlb memory" "$first" "$second"
ok "unpatched again comes from the cache" image_is base "" "!$first" "!$second"
ok "the first patch compiles what it touches" image_is patch1 "hugetlb" "$first" "!$second"
ok "a mutant compiles what it touches" image_is "mutant:$TAP_DIR/mutant.diff" "memory" "$first" "$second" mutant
mini_patch 0002 mm/memory.c 's/^line 30$/another second patch/'
ok "an edited patch compiles what it touches" image_is patched "memory" "$first" "another second patch" "!$second"
ok "its mutant too" image_is "mutant:$TAP_DIR/mutant.diff" "memory" "$first" "another second patch" mutant
mini_patch 0002 include/mm.h 's/^header$/second header/'
ok "an edited header compiles everything" image_is patched "hugetlb memory" "$first" "second header"
sed -i 's/^CONFIG_SHMEM=y/CONFIG_SHMEM=m/' "$MINI/Kconfig.fragment"
ok "another configuration is another kernel" image_is patched "" "$first" "second header"
mini_patch 0002 mm/memory.c 's/^line 30$/line 30, second patch/'
ok "back to the first series" image_is patched "hugetlb memory" "$first" "$second" "!second header"

# Interrupted at every stage, by the signals a terminal and a crash send. (A shell starts
# what runs in the background with SIGINT ignored, and that cannot be trapped any more.)
want=$(sha256sum <"$(mini_image patched 2>/dev/null)/vmlinux") || true
interrupted_at() {
	local stage=$1 signal=$2 pid dir tries group
	rm -rf "$MINI_CACHE" "$MINI_GATE.reached" && mini_package
	echo "$stage" >"$MINI_GATE"
	setsid env --default-signal=INT -u PVA_LOCKED XDG_CACHE_HOME="$MINI_CACHE" "$MINI/scripts/lib/kernel-image" \
		--base v0.1 --variant patched >/dev/null 2>&1 &
	pid=$!
	for ((tries = 0; tries < 300; tries++)); do
		[ ! -e "$MINI_GATE.reached" ] || break
		sleep 0.1
	done
	[ -e "$MINI_GATE.reached" ] || {
		echo "never got to $stage"
		return 1
	}
	kill "-$signal" -- "-$pid"
	read -r group <"$MINI_GATE.reached"
	if [ "$signal" = KILL ]; then # what the build left running is no part of this
		kill -KILL -- "-$group" 2>/dev/null || true
	fi
	wait "$pid" 2>/dev/null || true
	rm -f "$MINI_GATE"
	sleep 0.3
	if ps -A -o pgid=,stat= | awk -v group="$group" '$1 == group && $2 !~ /Z/ { found = 1 } END { exit !found }'; then
		echo "make is still running after SIG$signal"
		return 1
	fi
	dir=$(mini_image patched 2>"$TAP_DIR/stderr") || {
		cat "$TAP_DIR/stderr"
		return 1
	}
	[ "$(sha256sum <"$dir/vmlinux")" = "$want" ]
}
for stage in tinyconfig memory link; do
	for signal in INT TERM KILL; do
		ok "interrupted by SIG$signal at $stage: the next run's result is the same" \
			interrupted_at $stage $signal
	done
done

# Damage that an interruption of the other stages leaves behind.
# shellcheck disable=SC2016 # expanded later, in the cache
{
	damaged() {
		rm -rf "$MINI_CACHE" && mini_package && mini_image base >/dev/null 2>&1 || return
		(cd "$MINI_CACHE/per-vma-anon" && eval "$1") || return
		local dir
		dir=$(mini_image patched 2>"$TAP_DIR/stderr") || {
			cat "$TAP_DIR/stderr"
			return 1
		}
		[ "$(sha256sum <"$dir/vmlinux")" = "$want" ]
	}
	ok "repository half made" damaged 'rm -rf linux.git/refs linux.git/complete'
	ok "import half done" damaged 'git -C linux.git update-ref -d "$(git -C linux.git for-each-ref --format="%(refname)" refs/bases)"; mkdir -p import/x; echo >import.index'
	ok "checkout half done" damaged 'rm source/v0.1.dated source/v0.1/mm/memory.c; touch "$(git -C source/v0.1 rev-parse --git-path index.lock)"; git -C source/v0.1 status >/dev/null || true'
	ok "work tree gone" damaged 'rm -rf source'
	ok "patches half applied" damaged 'mkdir -p apply/.git/rebase-apply'
	ok "build copied by half" damaged 'mkdir -p build/v0.1-fast-patched.new/x build/v0.1-fast-patched'
	ok "image copied by half" damaged 'for i in images/*; do mkdir -p "$i.new"; done'
}
done_testing
