# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The parts of scripts/send. Needs kernels.sh.

PVA_COVER=$PVA_PATCHES/cover-letter.txt
SEND_BRANCH=per-vma-anon-send
SELFTESTS=tools/testing/selftests

# sender_name, sender_mail: who sends, from the git configuration; a person,
# not the name under which this repository makes its own commits.
sender_name() {
	local name
	name=$(git config user.name) || name=
	[ -n "$name" ] || die 2 "git has no user.name: git config --global user.name 'Your Name'"
	case $name in
	per-vma-anon | 'Per-VMA anon_vma series')
		die 2 "user.name is '$name', this project's own, and no person: git config --global user.name 'Your Name'"
		;;
	esac
	printf '%s\n' "$name"
}

sender_mail() {
	local mail
	mail=$(git config user.email) || mail=
	[ -n "$mail" ] || die 2 "git has no user.email: git config --global user.email you@your.domain"
	[[ $mail =~ ^[^@[:space:]\<\>]+@[^@[:space:]\<\>]+$ ]] || die 2 "user.email '$mail' is no mail address"
	[[ ! $mail =~ (@|\.)(localhost|localdomain|example|invalid|test)$|noreply ]] ||
		die 2 "user.email '$mail' cannot get an answer: git config --global user.email you@your.domain"
	printf '%s\n' "$mail"
}

# cover_check: the cover letter is there and has no gaps.
cover_check() {
	local gaps
	[ -r "$PVA_COVER" ] || die 1 "patches/cover-letter.txt is missing"
	head -n 1 "$PVA_COVER" | grep -qE '^Subject: \[[^]]*PATCH[^]]*\] .' ||
		die 1 "patches/cover-letter.txt does not begin with 'Subject: [PATCH RFC] ...'"
	gaps=$(grep -oE '@[A-Z_]+@' "$PVA_COVER" | sort -u | paste -sd' ') || true
	[ -z "$gaps" ] || die 1 "patches/cover-letter.txt has gaps: $gaps"
}

# recipients_check BASE: there is a section for every patch and the selftest.
recipients_check() {
	local section sections
	mapfile -t sections < <(base_patch_names "$1")
	for section in "${sections[@]}" selftest; do
		[ -n "$(recipients_section "$1" "$section" To)$(recipients_section "$1" "$section" Cc)" ] ||
			die 1 "patches/$1/recipients has nobody for $section: scripts/review --recipients writes it"
	done
}

# recipients_section BASE SECTION To|Cc: the addresses, one a line. SECTION
# "all": everybody, each once, and nobody on Cc who is on To.
recipients_section() {
	awk -v section="[$2]" -v field="$3: " '
		/^\[/ { inside = $0 == section || section == "[all]"; next }
		inside && index($0, "To: ") == 1 && section == "[all]" { to[substr($0, 5)] = 1 }
		inside && index($0, field) == 1 { address = substr($0, length(field) + 1)
			if (!(address in seen)) list[++n] = address
			seen[address] = 1 }
		END { for (i = 1; i <= n; i++) if (field == "To: " || !(list[i] in to)) print list[i] }' \
		"$PVA_PATCHES/$1/recipients" 2>/dev/null
}

# as_sender COMMAND...: git with the sender's name and nothing else of theirs
# that would change what is written.
as_sender() {
	git -c user.name="$(sender_name)" -c user.email="$(sender_mail)" -c commit.gpgSign=false \
		-c core.hooksPath=/dev/null -c format.signature= "$@"
}

# send_tree BASE DIR: a work tree with the series by the sender; only the files
# that are needed are in it.
send_tree() {
	local base=$1 dir=$2 commit patches log=$PVA_CACHE/log/send patch
	commit=$(source_commit "$base") || exit
	mapfile -t patches < <(base_patches "$base")
	mkdir -p "$PVA_CACHE/log"
	apply_tree "$commit" "$dir" "${patches[@]}" >"$log" 2>&1 || die 3 "cannot check out $commit: see $log"
	git -C "$dir" sparse-checkout add "/$SELFTESTS/Makefile" "/$SELFTESTS/mm/.gitignore" /MAINTAINERS \
		/.gitattributes >"$log" 2>&1 || die 3 "cannot check out $commit: see $log"
	as_sender -C "$dir" checkout -q -B "$SEND_BRANCH"
	for patch in "${patches[@]}"; do
		as_sender -C "$dir" am -q "$patch" >"$log" 2>&1 || die 1 "$(apply_failure "$log" "$patch")"
		as_sender -C "$dir" commit -q --amend --no-edit --reset-author --signoff
	done
}

send_tree_remove() {
	git_cache worktree remove --force "$1"
	git_cache branch -q -D "$SEND_BRANCH"
}

# selftest_files: what of the selftest is in this repository, not what a build
# has left there, and without this repository's benchmark.
selftest_files() {
	(cd "$PVA_TOP/tools-testing-selftests-mm" &&
		if git rev-parse -q --is-inside-work-tree >/dev/null 2>&1; then
			git ls-files per_vma_lock
		else
			find per_vma_lock -type f
		fi) | grep -v '^per_vma_lock/bench/' | sort
}

# selftest_commit TREE: one commit that adds the selftest, and lets the
# kernel's own build, git and get_maintainer.pl know of it.
selftest_commit() {
	local tree=$1 dir=$1/$SELFTESTS/mm file files
	mapfile -t files < <(selftest_files)
	[ ${#files[@]} -gt 0 ] || return
	for file in "${files[@]}"; do
		install -D -m "$(stat -c %a "$PVA_TOP/tools-testing-selftests-mm/$file")" \
			"$PVA_TOP/tools-testing-selftests-mm/$file" "$dir/$file" || return
	done
	line_after 'TARGETS += mm' 'TARGETS += mm/per_vma_lock' "$tree/$SELFTESTS/Makefile" || return
	# The directory ignores everything that it does not name.
	if git -C "$tree" check-ignore -q "$SELFTESTS/mm/per_vma_lock/new.cc"; then
		line_after '!*.h' '!*.cc' "$dir/.gitignore" || return
	fi
	maintainers_with_snippet "$tree" >"$tree/MAINTAINERS.new" && mv "$tree/MAINTAINERS.new" "$tree/MAINTAINERS" &&
		as_sender -C "$tree" add --sparse -f "$SELFTESTS/mm/per_vma_lock" &&
		as_sender -C "$tree" add --sparse -u . &&
		sed '/^#/d' "$PVA_LIB/send-selftest.txt" | as_sender -C "$tree" commit -q --signoff -F -
}

# line_after LINE NEW FILE: NEW comes after the line LINE of FILE.
line_after() {
	grep -qxF -- "$1" "$3" || {
		note "$3 has no line '$1'"
		return 1
	}
	awk -v line="$1" -v new="$2" '{ print } $0 == line { print new }' "$3" >"$3.new" && cat "$3.new" >"$3" && rm "$3.new"
}

# mails_write BASE TREE DIR VERSION REPOSITORY
mails_write() {
	local base=$1 tree=$2 dir=$3 version=$4 prefix text file section number patches
	mapfile -t patches < <(base_patch_names "$base")
	prefix=$(sed -nE '1s/^Subject: \[([^]0-9]*PATCH[^]0-9]*)[^]]*\].*/\1/p' "$PVA_COVER" | sed 's/ *$//; s/^PATCH RFC$/RFC PATCH/')
	text=$(sed -E '1s/^Subject: \[[^]]*\] *//' "$PVA_COVER")${5:+$'\n\n'Repository: $5}
	as_sender -C "$tree" -c branch."$SEND_BRANCH".description="$text" format-patch -q -n --cover-letter \
		--cover-from-description=subject --subject-prefix="$prefix" ${version:+-v "$version"} --full-index \
		--from --no-signature -o "$dir" "$(source_commit "$base")..$SEND_BRANCH" || return
	number=0
	for file in "$dir"/*.patch; do
		section=all
		[ $number -eq 0 ] || section=${patches[number - 1]:-selftest}
		mail_address "$base" "$section" "$file" || return
		number=$((number + 1))
	done
}

# mail_address BASE SECTION FILE: puts To and Cc into the mail's header.
mail_address() {
	{
		address_header To < <(recipients_section "$1" "$2" To)
		address_header Cc < <(recipients_section "$1" "$2" Cc)
	} >"$3.header"
	awk -v header="$3.header" '$0 == "" && !done { while ((getline line < header) > 0) print line; done = 1 } { print }' \
		"$3" >"$3.new" && mv "$3.new" "$3" && rm "$3.header"
}

# address_header FIELD: the addresses on stdin as one header field.
address_header() {
	local field="$1: " address
	while read -r address; do
		printf '%s%s' "$field" "$(address_encoded "$address")"
		field=$',\n '
	done
	[ "$field" = "$1: " ] || printf '\n'
}

# address_encoded ADDRESS: the name as RFC 2047 wants it, if it is not ASCII.
address_encoded() {
	local LC_ALL=C name=${1% <*} word='' i c
	if [[ ! $1 =~ [^[:print:]] ]]; then
		printf '%s\n' "$1"
		return
	fi
	name=${name#\"} name=${name%\"}
	for ((i = 0; i < ${#name}; i++)); do
		c=${name:i:1}
		case $c in
		[a-zA-Z0-9]) word+=$c ;;
		*) word+=$(printf '=%02X' "$(($(printf '%d' "'$c") & 255))") ;;
		esac
	done
	printf '=?UTF-8?q?%s?= <%s\n' "$word" "${1##* <}"
}

# mail_header To|Cc FILE: the addresses in that header field, one a line.
mail_header() {
	awk -v field="$1: " '
		/^$/ { exit }
		index($0, field) == 1 { inside = 1; print substr($0, length(field) + 1); next }
		/^[ \t]/ { if (inside) print; next }
		{ inside = 0 }' "$2"
}

mail_subject() {
	awk '/^$/ { exit } /^Subject: / { sub(/^Subject: /, ""); inside = 1; printf "%s", $0; next }
		/^ / { if (inside) printf "%s", $0; next } { inside = 0 } END { print "" }' "$1"
}
