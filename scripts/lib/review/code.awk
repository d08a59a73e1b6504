# SPDX-License-Identifier: GPL-2.0
#
# awk -f code.awk FILE: C or Rust source without comments, blank lines and
# white space that does not matter. What is left are lines of code.

{
	code = plain($0)
	gsub(/[ \t]+/, " ", code)
	gsub(/^ | $/, "", code)
	if (code != "") print code
}

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
		if (at == "//") return out substr(s, 1, RSTART - 1)
		out = out substr(s, 1, RSTART - 1) (at == "/*" ? "" : at)
		s = substr(s, RSTART + RLENGTH)
		if (at == "/*") comment = 1
	}
	return out
}
