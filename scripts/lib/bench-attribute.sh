# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Where instructions go: per kernel function, seen by a TCG plugin in QEMU, and
# disassembly side by side. Needs bench-guest.sh.

# bench_plugin: compiles the plugin and prints its file name.
bench_plugin() {
	local plugin=$PVA_CACHE/build/bench/bench-plugin.so
	if [ ! "$plugin" -nt "$PVA_LIB/bench-plugin.cc" ]; then
		run_logged "$PVA_CACHE/log/bench-plugin" "compiling the QEMU plugin" \
			g++ -std=c++20 -O2 -shared -fPIC -o "$plugin" "$PVA_LIB/bench-plugin.cc" ||
			die 1 "the QEMU plugin does not compile: see $PVA_CACHE/log/bench-plugin"
	fi
	printf '%s\n' "$plugin"
}

# executions FILE CASE IMAGE INITRAMFS: "ADDRESS COUNT" of every instruction that
# one fault of CASE executes, in FILE.
executions() {
	local plugin
	plugin=$(bench_plugin)
	rm -f "$1"
	PVA_QEMU=$PVA_LIB/bench-qemu PVA_BENCH_QEMU="-plugin $plugin,out=$1" \
		exact_run "$1.jsonl" "$3" "$4" "--samples 60 --heavy-samples 8 --event-samples 0 --case '$2'"
	[ -s "$1" ] || die 4 "QEMU did not run the plugin: is it built with --enable-plugins? (qemu-system-x86_64 -help)"
}

# executions_by_function FILE IMAGE: "FUNCTION COUNT".
executions_by_function() {
	{
		awk '$2 ~ /^[tTwW]$/ { print $1, 0, $3 }' "$2/System.map"
		awk '{ print $1, 1, $2 }' "$1"
	} | LC_ALL=C sort -k1,1 -k2,2 | awk '
		$2 == 0 { name = $3; next }
		{ count[$1 < "8000000000000000" ? "(the program)" : name] += $3 }
		END { for (name in count) print name, count[name] }'
}

# attribution CASE MAINLINE PATCHED INITRAMFS: a table on stdout.
attribution() {
	local work=$PVA_CACHE/build/bench/attribute
	mkdir -p "$work"
	stage "tracing $1: mainline, then patched"
	executions "$work/base" "$1" "$2" "$4"
	executions "$work/patched" "$1" "$3" "$4"
	{
		executions_by_function "$work/base" "$2" | sed 's/^/base /'
		executions_by_function "$work/patched" "$3" | sed 's/^/patched /'
	} | awk '
		{ count[$1, $2] = $3; names[$2]; sum[$1] += $3 }
		END {
			for (name in names) {
				a = count["base", name] + 0; b = count["patched", name] + 0
				printf "%d %s %d %d %+d\n", (a > b ? a : b), name, a, b, b - a
			}
			printf "999999999 TOTAL %d %d %+d\n", sum["base"], sum["patched"], sum["patched"] - sum["base"]
		}' | sort -k1,1nr -k2,2 | cut -d' ' -f2- |
		{ echo "function mainline patched difference" && cat; } | column -t -R 2,3,4
}

# disassembly_of FUNCTION IMAGE: its instructions, addresses left out, so that
# only what differs differs.
disassembly_of() {
	objdump -d --no-show-raw-insn --no-addresses --disassemble="$1" "$2/vmlinux" |
		sed -n '/>:$/,$p' | sed -E 's/ +#.*//; s/\t/ /g; /^$/d'
}

# disassembly_beside FUNCTION MAINLINE PATCHED
disassembly_beside() {
	local image
	for image in "$2" "$3"; do
		grep -qE " [tTwW] $1\$" "$image/System.map" ||
			note "$1: not in $image/System.map (inlined, or not in that kernel)"
	done
	grep -qhE " [tTwW] $1\$" "$2/System.map" "$3/System.map" ||
		die 2 "'$1': no function of either kernel has that name"
	printf '%-78s %s\n' "mainline: $(disassembly_of "$1" "$2" | grep -c '^ ' || true) instructions" \
		"patched: $(disassembly_of "$1" "$3" | grep -c '^ ' || true) instructions"
	diff --side-by-side --width=156 --expand-tabs <(disassembly_of "$1" "$2") <(disassembly_of "$1" "$3") || true
}
