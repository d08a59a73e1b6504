#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Unit tests of what the scripts and their tests have in common.
set -euo pipefail
# shellcheck source=scripts/lib/tests/tap.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/tap.sh"

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
done_testing
