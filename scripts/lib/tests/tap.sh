# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Sourced by the tests (*.t): TAP on stdout, everything else on stderr.

# shellcheck source=scripts/lib/kernels.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../kernels.sh"

TAP_COUNT=0
TAP_DIR=$(mktemp -d)
trap_ends
at_exit rm -rf "$TAP_DIR"

# ok NAME COMMAND...: passes when COMMAND does. What it prints is shown when not. In a
# subshell, or a function that dies would end the tests.
ok() {
	local name=$1 rc=0
	shift
	TAP_COUNT=$((TAP_COUNT + 1))
	("$@") >"$TAP_DIR/ok" 2>&1 || rc=$?
	if [ $rc -eq 0 ]; then
		printf 'ok %d - %s\n' $TAP_COUNT "$name"
	else
		printf 'not ok %d - %s\n' $TAP_COUNT "$name"
		{
			printf '%s: exit code %d\n' "$*" $rc
			tail -n 40 "$TAP_DIR/ok"
		} | cut -c1-300 | sed 's/^/# /'
	fi
}

skip() {
	TAP_COUNT=$((TAP_COUNT + 1))
	printf 'ok %d - %s # SKIP %s\n' $TAP_COUNT "$1" "$2"
}

# time_for MINUTES: whether that much is left of what scripts/test may take for what
# is not essential. With --full, or when a test is run by itself, there is no limit.
time_for() {
	[ -n "${PVA_FULL-}" ] || [ $(($(date +%s) + $1 * 60)) -le "${PVA_TEST_UNTIL:-9999999999}" ]
}
# shellcheck disable=SC2034 # for those who source this
no_time="not begun, too late after the start (see scripts/test --minutes): run it again, or with --full"

done_testing() {
	printf '1..%d\n' $TAP_COUNT
}

# capture COMMAND...: its output in the file $OUT, its exit code in $RC. In a subshell
# as well.
OUT=$TAP_DIR/output
RC=0
capture() {
	RC=0
	("$@") >"$OUT" 2>&1 </dev/null || RC=$?
}

# exits CODE [PATTERN...]: the captured command ended with CODE and said each
# PATTERN (an extended regular expression) in some line.
exits() {
	local code=$1 pattern rc=0
	shift
	if [ "$RC" -ne "$code" ]; then
		printf 'expected exit code %d, got %d\n' "$code" "$RC"
		rc=1
	fi
	for pattern; do
		if ! grep -qE -- "$pattern" "$OUT"; then
			printf 'expected to be told: %s\n' "$pattern"
			rc=1
		fi
	done
	[ $rc -eq 0 ] || cat "$OUT"
	return $rc
}

# without PATTERN: no line of the captured output matches.
without() {
	! grep -nE -- "$1" "$OUT"
}
