#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The unit tests of the selftest's support code, on this machine and its kernel,
# and what people do with a kselftest.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"
need_build_packages
need_packages ccache
cache_lock
source_prepare v7.3
tree=$(kernel_tree v7.3 base)
cache_unlock

# A kernel tree with the selftest in it: only what the build needs.
top=$TAP_DIR/linux
selftest=$top/tools/testing/selftests/mm/per_vma_lock
mkdir -p "$top/tools/testing/selftests/mm"
cp -r "$tree/tools/testing/selftests"/{lib.mk,kselftest} "$top/tools/testing/selftests/"
cp -r "$tree/scripts" "$top/"
cp -r "$PVA_SELFTEST/per_vma_lock" "$selftest"

# A source file that was compiled before is not compiled again, wherever the tree is.
make_selftest() {
	CCACHE_DIR=$PVA_CACHE/ccache CCACHE_BASEDIR=$TAP_DIR CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=500M \
		make -C "$selftest" -j"$PVA_JOBS" OUTPUT="$TAP_DIR/out" CXX="ccache g++" "$@"
}
mkdir "$TAP_DIR/out"
ok "unit tests of the support code" make_selftest check
ok "builds" make_selftest all
ok "cleans up after itself" make_selftest clean
nothing_left() {
	[ -z "$(find "$TAP_DIR/out" -type f)" ] && diff -r "$PVA_SELFTEST/per_vma_lock" "$selftest"
}
ok "  so that nothing is left" nothing_left
done_testing
