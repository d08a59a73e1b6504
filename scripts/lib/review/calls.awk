# SPDX-License-Identifier: GPL-2.0
#
# awk -v names="NAME NAME..." -f calls.awk FILE...
#
# Prints "FILE<tab>LINE<tab>FUNCTION<tab>NAME<tab>ARGUMENTS" for every call of
# one of the functions NAME in C or Rust source. Comments and strings are no
# source. A C function is what stands in column 0 before a "{" in column 0, as
# the kernel writes it; calls outside of one are FUNCTION "-".

BEGIN { split(names, list, " "); for (i in list) wanted[list[i]] = 1 }

FNR == 1 { comment = 0; head = ""; fn = "-"; pending = ""; rust = FILENAME ~ /\.rs$/ }

{
	code = plain($0)
	if (pending != "") {
		pending = pending " " code
		finish()
		next
	}
	if (rust) {
		if (match(code, /(^|[^A-Za-z0-9_])fn [A-Za-z0-9_]+/)) {
			fn = substr(code, RSTART, RLENGTH)
			sub(/.*fn /, "", fn)
		}
	} else if (code ~ /^\{/) {
		fn = name_of(head)
		head = ""
	} else if (code ~ /^\}/) {
		fn = "-"
		head = ""
		next
	} else if (fn == "-") {
		if (code ~ /^#/ || code ~ /;[ \t]*$/)
			head = ""
		else
			head = head " " code
		if (code !~ /^#[ \t]*define/)
			next
	}
	calls(code)
}

# The line without comments and with empty strings.
function plain(s,    out, at, end) {
	out = ""
	while (s != "") {
		if (comment) {
			end = index(s, "*/")
			if (!end) return out
			s = substr(s, end + 2)
			comment = 0
			continue
		}
		if (!match(s, /\/\*|\/\/|"([^"\\]|\\.)*"|'([^'\\]|\\.)'/)) return out s
		at = substr(s, RSTART, RLENGTH)
		out = out substr(s, 1, RSTART - 1)
		s = substr(s, RSTART + RLENGTH)
		if (at == "//") return out
		if (at == "/*") comment = 1
		else out = out "\"\""
	}
	return out
}

# The function that a definition's first lines define.
function name_of(s) {
	gsub(/__(acquires|releases|must_hold)\([^)]*\)/, "", s)
	if (match(s, /SYSCALL_DEFINE[0-9]\([a-z0-9_]+/)) {
		s = substr(s, RSTART, RLENGTH)
		sub(/.*\(/, "", s)
		return s
	}
	sub(/\(.*/, "", s)
	sub(/[ \t]+$/, "", s)
	sub(/.*[^A-Za-z0-9_]/, "", s)
	return s == "" ? "-" : s
}

function calls(s,    name, before) {
	while (match(s, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
		name = substr(s, RSTART, RLENGTH)
		sub(/[ \t]*\($/, "", name)
		before = substr(s, 1, RSTART - 1)
		s = substr(s, RSTART + RLENGTH)
		if (!(name in wanted) || before ~ /(^|[^A-Za-z0-9_])fn $/ || before ~ /^#[ \t]*define[ \t]+$/)
			continue
		pending = s
		called = name
		line = FNR
		finish()
		if (pending != "") return
		s = rest
	}
}

# Prints the call in "pending" if its last parenthesis has been read.
function finish(    i, c, depth, args) {
	depth = 1
	for (i = 1; i <= length(pending); i++) {
		c = substr(pending, i, 1)
		if (c == "(") depth++
		if (c == ")" && --depth == 0) break
	}
	if (depth) return
	args = substr(pending, 1, i - 1)
	rest = substr(pending, i + 1)
	pending = ""
	gsub(/[ \t]+/, " ", args)
	gsub(/^ | $/, "", args)
	printf "%s\t%d\t%s\t%s\t%s\n", FILENAME, line, fn, called, args
}
