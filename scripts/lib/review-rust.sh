# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The row of scripts/review for the Rust caller. Needs review-compile.sh.

# The Rust caller, where rustc and bindgen are as new as the tree wants them.
review_rust() {
	local tree tool have wanted log out
	tree=$(review_tree patched)
	if ! touched_files | grep -q '\.rs$'; then
		row skip rust "the series touches no Rust file"
		return
	fi
	for tool in rustc bindgen; do
		wanted=$("$tree/scripts/min-tool-version.sh" "$tool")
		if ! command -v "$tool" >/dev/null; then
			row skip rust "$tool $wanted or newer is not installed"
			return
		fi
		have=$("$tool" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
		if version_below "$have" "$wanted"; then
			row skip rust "$tool is $have, this tree needs $wanted"
			return
		fi
	done
	log=$(row_log rust)
	out=$REVIEW_CACHE/build/$REVIEW_BASE-rust
	mkdir -p "$out"
	if rust_make "$tree" "$out" >"$log" 2>&1 </dev/null; then
		row good rust "rust/kernel.o compiles"
	else
		row bad rust "rust/kernel.o does not compile" "$log"
	fi
}

rust_make() {
	local words=(-C "$1" "O=$2" -j"$PVA_JOBS" LLVM="$(clang_suffix)")
	make "${words[@]}" defconfig &&
		(cd "$2" && "$1/scripts/config" -d WERROR -d MODVERSIONS -d DEBUG_INFO_BTF -d GCC_PLUGINS -e RUST) &&
		make "${words[@]}" olddefconfig && grep -q '^CONFIG_RUST=y' "$2/.config" &&
		make "${words[@]}" rust/kernel.o
}
