# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The rows of scripts/review that compile: the matrix, W=1, sparse. Needs
# review-compile.sh.

# cell ARCH COMPILER KIND SWITCH VARIANT [EXTRA]: cell_compile, remembered.
cell() {
	local key
	key=$(key_of "$REVIEW_RECIPE" "$(tree_id "$5")" "$(config_key "${@:1:4}")" "${6-}" "$(cell_objects "$1")")
	cached "$key" cell_compile "${@:1:5}" "${6-}"
}

# cell_pair ARCH COMPILER KIND SWITCH [EXTRA]: one JSON object, unpatched beside
# patched, with the verdict. An error is judged by what does not compile, not by its text:
# what does not compile unpatched either is not in that configuration. sparse (EXTRA) has
# errors without that.
cell_pair() {
	local arch=$1 compiler=$2 kind=$3 switch=$4 base patched
	base=$(cell "${@:1:4}" base "${5-}") && patched=$(cell "${@:1:4}" patched "${5-}") || return
	jq -nc --arg base "$REVIEW_BASE" --arg arch "$arch" --arg compiler "$compiler" --arg kind "$kind" \
		--arg off "${switch/none/}" --arg extra "${5-}" --slurpfile b <(printf '%s' "$base") --slurpfile p <(printf '%s' "$patched") \
		--rawfile new <(messages_new <(jq -r '.messages[]' <<<"$base") <(jq -r '.messages[]' <<<"$patched")) \
		'$b[0] as $b | $p[0] as $p | ($new | split("\n") | map(select(. != "" and ($extra != "" or (test(": error: ") | not))))) as $new
		| def objects: map(sub("^.*[ :\\[](?<o>[^ :\\[]+[.]o)\\].*"; "\(.o)")); # how deep make is may differ
		  (($p.failed | objects) - ($b.failed | objects)) as $failed
		| { base: $base, arch: $arch, compiler: $compiler, kind: $kind, off: $off,
		    objects: $p.objects, text_base: $b.text, text_patched: $p.text, new: ($new + $failed),
		    failed_unpatched: $b.failed }
		| .detail = (if $p.objects == 0 then "no object was compiled"
			elif ($failed | length) > 0 then "does not compile: \($failed[0])"
			elif $p.objects < $b.objects then "\($b.objects - $p.objects) objects fewer than unpatched"
			elif ($new | length) > 0 then "\($new | length) new messages: \($new[0])"
			else "" end)
		| .verdict = (if .detail == "" then "good" else "bad" end)'
}

# cell_judged ARCH COMPILER KIND SWITCH: as cell_pair. The unpatched tree is only
# compiled if the patched one has something to say: else nothing of it can be new.
cell_judged() {
	local patched
	patched=$(cell "$@" patched) || return
	if jq -e '.objects > 0 and (.messages + .failed) == []' <<<"$patched" >/dev/null; then
		jq -nc --argjson p "$patched" '{ objects: $p.objects, text_base: null, text_patched: $p.text, new: [],
			failed_unpatched: [], detail: "", verdict: "good" }'
	else
		cell_pair "$@"
	fi
}

# matrix_cells ARCH COMPILER: what is to be compiled for it: "KIND SWITCH". Of a backport,
# without --full, only x86_64 with the options off: it has them where the newest base has them.
matrix_cells() {
	local kind switch switches=("${REVIEW_SWITCHES[@]}")
	! matrix_short "$@" || switches=(none)
	for kind in "${REVIEW_KINDS[@]}"; do
		for switch in "${switches[@]}"; do
			if [ -n "$REVIEW_QUICK" ]; then
				case $1-$kind-$switch in
				x86_64-tinyconfig-* | x86_64-allnoconfig-none) ;;
				x86_64-defconfig-none | arm64-defconfig-none | loongarch-defconfig-none | s390-defconfig-none) ;;
				*) continue ;;
				esac
			fi
			printf '%s %s\n' "$kind" "$switch"
		done
	done
}

# matrix_short ARCH COMPILER: whether the options stay on.
matrix_short() {
	[ -z "$REVIEW_QUICK$REVIEW_FULL" ] && [ "$1-$2" != x86_64-clang ] && ! is_newest
}

# matrix_row ARCH COMPILER: all cells of one architecture and compiler.
matrix_row() {
	local arch=$1 compiler=$2 log cells kind switch state reason json built=0 same=0 bad=0 first='' rest=''
	log=$(row_log "compile-$arch-$compiler")
	mapfile -t cells < <(matrix_cells "$arch" "$compiler")
	if [ ${#cells[@]} -eq 0 ]; then
		row skip "compile $arch $compiler" "not part of --quick"
		return
	fi
	for kind in "${cells[@]}"; do
		read -r kind switch <<<"$kind"
		IFS=$'\t' read -r state reason < <(cell_state "$arch" "$compiler" "$kind" "$switch")
		if [ "$state" = same ]; then
			same=$((same + 1))
			printf '%s without %s: not compiled, it %s\n' "$kind" "$switch" "$reason" >>"$log.skipped"
			continue
		fi
		built=$((built + 1))
		[ ! -t 2 ] || printf '\r\033[K   %s %s: %s, %s off' "$arch" "$compiler" "$kind" "$switch" >&2
		if [ "$state" = bad ]; then
			json=$(jq -nc --arg detail "$reason" '{ verdict: "bad", detail: $detail }')
		else
			json=$(cell_judged "$arch" "$compiler" "$kind" "$switch") ||
				json=$(jq -nc '{ verdict: "bad", detail: "make prepare fails: see the log of the build" }')
		fi
		jq -c --arg base "$REVIEW_BASE" --arg arch "$arch" --arg compiler "$compiler" --arg kind "$kind" \
			--arg off "${switch/none/}" '{ base: $base, arch: $arch, compiler: $compiler, kind: $kind, off: $off,
			objects: 0, text_base: null, text_patched: null } + .' <<<"$json" >>"$REVIEW_OUTPUT/cells.jsonl"
		if [ "$(jq -r .verdict <<<"$json")" = bad ]; then
			bad=$((bad + 1))
			jq -r --arg cell "$kind, $switch off" '"\($cell): \(.detail)", (.new // [])[]' <<<"$json" >>"$log"
			first=${first:-$kind, $switch off: $(jq -r .detail <<<"$json")}
		fi
	done
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ "$bad" -gt 0 ]; then
		row bad "compile $arch $compiler" "$bad of $built configurations; $first" "$log"
	else
		! matrix_short "$arch" "$compiler" || rest='; with the options off only with --full'
		row good "compile $arch $compiler" \
			"$built configurations, no new message; $same more are the same as one of these$rest"
	fi
}

review_compile() {
	local arch
	need_build_packages
	need_packages clang-19:clang-19 lld-19:ld.lld-19 llvm-19:llvm-nm-19
	for arch in "${REVIEW_ARCHES[@]}"; do
		if [ -d "$(review_tree base)/arch/$arch" ] || [[ $arch == x86_64 || $arch == i386 ]]; then
			matrix_row "$arch" clang
		fi
	done
	for arch in "${REVIEW_ARCHES[@]}"; do
		matrix_gcc "$arch"
	done
}

# matrix_gcc ARCH: the same with gcc, where there is one.
matrix_gcc() {
	local triplet
	triplet=$(gcc_triplet "$1")
	if [ -z "$triplet" ]; then
		row skip "compile $1 gcc" "Debian has no gcc cross compiler for $1"
	elif [ -n "$REVIEW_QUICK" ]; then
		row skip "compile $1 gcc" "not part of --quick"
	elif [ "$triplet" != native ] && ! command -v "${triplet}gcc" >/dev/null && [ -z "$REVIEW_FULL" ]; then
		row skip "compile $1 gcc" "${triplet}gcc is not installed: --full installs it"
	else
		[ "$triplet" = native ] || need_packages "$(gcc_package "$1")"
		matrix_row "$1" gcc
	fi
}

# warnings_row NAME EXTRA: messages of the touched objects with more checking.
warnings_row() {
	local log json
	log=$(row_log "$1")
	json=$(cell_pair x86_64 gcc tinyconfig none "$2")
	jq -r '.new[]' <<<"$json" >"$log"
	if [ "$(jq .objects <<<"$json")" -eq 0 ]; then
		row bad "$1" "no object was compiled"
	else
		row_if_empty "$log" "$1" "no new message in $(jq .objects <<<"$json") objects" \
			"$(wc -l <"$log") new messages against the unpatched tree"
	fi
}

review_warnings() {
	need_build_packages
	need_packages sparse
	warnings_row W=1 W=1
	warnings_row sparse C=2
}
