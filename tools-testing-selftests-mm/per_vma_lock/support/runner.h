// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <string>

namespace pvl
{

/// Kselftest exit codes, tools/testing/selftests/kselftest.h.
inline constexpr int ksft_pass = 0;
inline constexpr int ksft_fail = 1;
inline constexpr int ksft_skip = 4;

/// How one test ended.
enum class Outcome { pass, fail, skip };

/// "ok 3 Name", "not ok 3 Name # why" or "ok 3 Name # SKIP why": one KTAP result line
/// (Documentation/dev-tools/ktap.rst). @p why may be empty; its newlines become blanks.
std::string ktap_line(unsigned number, const std::string &name, Outcome outcome,
		      const std::string &why);

/// What the whole run returns to its caller: 1 when anything failed, 4 when nothing was run that
/// was not skipped, else 0.
int exit_code(unsigned passed, unsigned failed, unsigned skipped);

/// Runs every test that GoogleTest's filter selects, each in a process of its own, and prints KTAP
/// on standard output. A test that crashes, or runs longer than the session's test_timeout, is
/// killed with all its children and fails; the rest still run; settings that it changed are put
/// back. Returns the exit code.
int run_tests();

/// Prints the names of the tests that GoogleTest's filter selects, one per line.
void list_tests();

} // namespace pvl
