# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Sourced by tests: a copy of this repository with one more base, v0.1, whose
# "kernel" is two files that make copies, so that every stage takes a moment,
# fails or can be interrupted when a test wants it. Needs tap.sh.
#
# MINI       the copy of the repository
# MINI_GATE  while this file exists, the stage named in it stops and waits

MINI=$TAP_DIR/repository
MINI_GATE=$TAP_DIR/gate
MINI_CACHE=$TAP_DIR/cache

mini_make() {
	local tree=$TAP_DIR/linux-source-0.1 root=$TAP_DIR/package
	mkdir -p "$MINI/patches/v0.1" "$tree/mm" "$tree/include" "$tree/scripts/kconfig" "$root"
	cp -r "$PVA_TOP/scripts" "$PVA_TOP/Kconfig.fragment" "$MINI/"
	for file in "$PVA_PATCHES"/*/base; do
		mkdir -p "$MINI/patches/$(basename "${file%/base}")"
		cp "${file%/base}"/* "$MINI/patches/$(basename "${file%/base}")/"
	done
	printf 'line %d\n' {1..40} >"$tree/mm/memory.c"
	printf 'line %d\n' {1..40} >"$tree/mm/hugetlb.c"
	printf 'header\n' >"$tree/include/mm.h"
	printf 'the end\n' >"$tree/MAINTAINERS"
	cat >"$tree/scripts/kconfig/merge_config.sh" <<-'SH'
		#!/bin/sh
		cat "$6" >>.config
	SH
	chmod +x "$tree/scripts/kconfig/merge_config.sh"
	cat >"$tree/Makefile" <<-MAKE
		.RECIPEPREFIX = >
		VERSION = 0
		PATCHLEVEL = 1
		GATE = if [ "\$\$(cat $MINI_GATE 2>/dev/null)" = \$(1) ]; then ps -o pgid= -p \$\$\$\$ >$MINI_GATE.reached; sleep 60; fi
		tinyconfig olddefconfig:
		>@echo 'CONFIG=y' >\$(O)/.config.part; \$(call GATE,\$@); mv \$(O)/.config.part \$(O)/.config
		\$(O)/%.o: mm/%.c include/mm.h
		>@echo "compiled \$*"; echo \$* >>$TAP_DIR/compiled
		>@cat \$^ >\$@; \$(call GATE,\$*)
		\$(O)/vmlinux: \$(O)/memory.o \$(O)/hugetlb.o
		>@echo linking; \$(call GATE,link); cat \$^ >\$@
		bzImage: \$(O)/vmlinux
		>@mkdir -p \$(O)/arch/x86/boot; cp \$< \$(O)/System.map; cp \$< \$(O)/arch/x86/boot/bzImage
	MAKE
	mkdir -p "$root/usr/src" "$root/DEBIAN" "$MINI_CACHE/per-vma-anon/package"
	tar -cJf "$root/usr/src/linux-source-0.1.tar.xz" --mtime=@0 --sort=name -C "$TAP_DIR" linux-source-0.1
	printf 'Package: linux-source-0.1\nVersion: 0.1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n' \
		>"$root/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$root" "$TAP_DIR/linux-source-0.1.deb" >/dev/null
	{
		echo package=linux-source-0.1
		echo version=0.1
		echo suite=bookworm
		echo release=0.1.1
		echo "sha256=$(sha256sum "$TAP_DIR/linux-source-0.1.deb" | cut -d' ' -f1)"
	} >"$MINI/patches/v0.1/base"
	mini_patch 0001 mm/hugetlb.c 's/^line 20$/line 20, first patch/'
	mini_patch 0002 mm/memory.c 's/^line 30$/line 30, second patch/'
	mini_package
}

# mini_patch NUMBER FILE SED-EXPRESSION: one more patch of the series.
mini_patch() {
	{
		printf 'From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n'
		printf 'From: Nobody <nobody@localhost>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n'
		printf 'Subject: [PATCH] patch %s\n\nText.\n---\n' "$1"
		sed "$3" "$TAP_DIR/linux-source-0.1/$2" |
			diff -u --label "a/$2" --label "b/$2" "$TAP_DIR/linux-source-0.1/$2" - || true
		printf -- '-- \n2.39.0\n'
	} >"$MINI/patches/v0.1/$1-test.patch"
}

# mini_package: puts the package where a finished download would be.
mini_package() {
	mkdir -p "$MINI_CACHE/per-vma-anon/package"
	cp "$TAP_DIR/linux-source-0.1.deb" "$MINI_CACHE/per-vma-anon/package/linux-source-0.1_0.1.deb"
}

# mini_image VARIANT: kernel-image for it, in a cache of the test's own.
mini_image() {
	env -u PVA_LOCKED XDG_CACHE_HOME="$MINI_CACHE" "$MINI/scripts/lib/kernel-image" \
		--base v0.1 --variant "$1"
}
