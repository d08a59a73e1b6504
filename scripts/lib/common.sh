# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Sourced by every script here: messages, exit codes, the cache and its lock, and
# long commands with their progress and log; packages.sh with it.
#
# Exit codes: 0 good, 1 bad verdict, 2 usage, 3 environment (disk, package,
# download, checksum, tool), 4 cannot run here.

PVA_TOP=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
PVA_LIB=$PVA_TOP/scripts/lib
: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
export HOME
PVA_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/per-vma-anon
PVA_VERBOSE=${PVA_VERBOSE:-}
PVA_JOBS=${PVA_JOBS:-$(nproc)}
PVA_NO_INSTALL=${PVA_NO_INSTALL:-}
export PVA_VERBOSE PVA_JOBS PVA_NO_INSTALL # for the scripts that a script starts
export LC_ALL=C.UTF-8
shopt -s inherit_errexit
# shellcheck source=scripts/lib/packages.sh
. "$PVA_LIB/packages.sh"

# die CODE MESSAGE...: one line on stderr, then exit. The message says what was
# wrong, with which value, and what to do about it.
die() {
	local code=$1
	shift
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit "$code"
}

# usage_text: the comment at the top of the running script, between the SPDX
# line and the first line that is no comment.
usage_text() {
	awk 'NR > 3 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

# duration SECONDS: as people write it.
duration() {
	if [ "$1" -lt 60 ]; then
		printf '%ds' "$1"
	else
		printf '%dm%02ds' $(($1 / 60)) $(($1 % 60))
	fi
}

# stage MESSAGE...: announces a stage on stderr, with the time since the start.
stage() {
	printf '=> [%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2
}

note() {
	printf '   %s\n' "$*" >&2
}

# run_logged LOG WHAT COMMAND...: runs COMMAND with its output in LOG. Every
# half minute (every two seconds on a terminal) it says what is being waited for. On
# failure the tail of the log is shown, and the result is the command's.
run_logged() {
	local log=$1 what=$2 pid rc=0 start=$SECONDS every=30 next naps=0
	shift 2
	mkdir -p "${log%/*}"
	[ -t 2 ] && every=2
	set -m # a process group of its own, so that all of it can be ended
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	child_started "$pid"
	[ -z "$PVA_VERBOSE" ] || tail -n +1 -f --pid="$pid" "$log" >&2 &
	next=$((SECONDS + every))
	while kill -0 "$pid" 2>/dev/null; do
		if [ $((naps += 1)) -le 15 ]; then sleep 0.02; else sleep 0.2; fi
		if [ -n "$PVA_VERBOSE" ] || [ $SECONDS -lt "$next" ]; then
			continue
		fi
		next=$((SECONDS + every))
		run_logged_progress "$what" $((SECONDS - start)) "$log"
	done
	wait "$pid" || rc=$?
	child_ended
	[ ! -t 2 ] || printf '\r\033[K' >&2
	[ $rc -eq 0 ] && return
	note "$what failed (exit code $rc); the end of $log:"
	tail -n 15 "$log" | cut -c1-200 | sed 's/^/   | /' >&2
	return $rc
}

run_logged_progress() {
	local last
	last=$(tail -n 1 "$3" 2>/dev/null | tr -cd '[:print:]' | sed 's|/[^ ]*per-vma-anon/[^/]*/||' | cut -c1-60)
	if [ -t 2 ]; then
		printf '\r\033[K   %s, %s: %s' "$1" "$(duration "$2")" "$last" >&2
	else
		note "$1, $(duration "$2"): $last"
	fi
}

# output_new DIR: makes the directory of an --output option. What is in it already
# is the user's, so there has to be nothing.
output_new() {
	if [ -e "$1" ] && [ ! -d "$1" ]; then die 2 "--output '$1': is no directory"; fi
	mkdir -p -- "$1" || die 3 "--output '$1': cannot be made"
	[ -z "$(ls -A -- "$1")" ] || die 2 "--output '$1': is not empty: name a new directory"
}

# need_space KIB WHAT: the cache's file system has this much left.
need_space() {
	local have
	mkdir -p "$PVA_CACHE"
	have=$(df -Pk "$PVA_CACHE" | awk 'NR == 2 { print $4 }')
	[ "$have" -ge "$1" ] ||
		die 3 "$2 needs $((($1 + 1048575) / 1048576)) GiB in $PVA_CACHE, which has" \
			"$((have / 1048576)) GiB left: free some, or set XDG_CACHE_HOME"
}

# cache_lock: one run at a time works on the cache. A second one says who holds
# it and waits. Nested scripts inherit the lock. cache_unlock gives it back.
cache_lock() {
	[ -z "${PVA_LOCKED:-}" ] || return 0
	mkdir -p "$PVA_CACHE" || die 3 "cannot write to $PVA_CACHE: set XDG_CACHE_HOME"
	exec 9<>"$PVA_CACHE/lock"
	if ! flock -n 9; then
		note "the cache is in use by $(cat "$PVA_CACHE/lock.holder" 2>/dev/null ||
			echo 'another run'); waiting for it to finish"
		flock 9
	fi
	echo "process $$ (${0##*/}) since $(date +%H:%M:%S)" >"$PVA_CACHE/lock.holder"
	export PVA_LOCKED=$$
}

cache_unlock() {
	[ "${PVA_LOCKED:-}" = $$ ] || return 0
	unset PVA_LOCKED
	flock -u 9
	exec 9>&-
}

# The process group that runs now, in a file because a function may have been
# called in a subshell; the script's end is its end too.
child_started() {
	[ -z "${PVA_CHILD_FILE:-}" ] || echo "$1" >"$PVA_CHILD_FILE"
}

child_ended() {
	[ -z "${PVA_CHILD_FILE:-}" ] || : >"$PVA_CHILD_FILE"
}

child_end() {
	local pid
	read -r pid 2>/dev/null <"$PVA_CHILD_FILE" || pid=
	rm -f "$PVA_CHILD_FILE"
	[ -z "$pid" ] || kill -TERM -- "-$pid" 2>/dev/null || true
}

# at_exit COMMAND [ARGUMENT...]: done when the script ends, however it ends (last
# one first). A COMMAND without arguments is a piece of shell.
at_exit() {
	[ $# -eq 1 ] || set -- "$(printf '%q ' "$@")"
	PVA_AT_EXIT="$1; ${PVA_AT_EXIT:-}"
}

end_run() {
	local rc=$?
	trap - EXIT INT TERM HUP
	child_end
	eval "${PVA_AT_EXIT:-}"
	exit $rc
}

# trap_ends: a script that is interrupted ends what it started. Called once,
# by the script itself.
trap_ends() {
	PVA_CHILD_FILE=$(mktemp)
	trap end_run EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}
