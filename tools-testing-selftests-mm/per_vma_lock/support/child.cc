// SPDX-License-Identifier: GPL-2.0
#include "support/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iostream>
#include <stdexcept>
#include <string>

#include "support/error.h"
#include "support/fd.h"

namespace pvl
{

namespace
{

constexpr int passed = 0;
constexpr int failed = 1;
constexpr int skipped = 4;

/// Runs the body; returns the child's exit status. The reason of a Skip goes to @p reasons.
int status_of(const std::function<void()> &body, const Fd &reasons)
{
	try {
		body();
		return testing::Test::HasFailure() ? failed : passed;
	} catch (const Skip &skip) {
		if (testing::Test::HasFailure())
			return failed;
		const std::string reason = skip.what();
		const bool told = ::write(reasons.get(), reason.data(), reason.size()) > 0;
		return told ? skipped : failed;
	} catch (const std::exception &error) {
		std::cout << "# child: " << error.what() << '\n';
		return failed;
	}
}

} // namespace

bool passes_in_child(const std::function<void()> &body)
{
	std::array<int, 2> ends{};
	checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
	const Fd reasons(ends[0]);
	Fd to_parent(ends[1]);

	std::cout.flush();
	const pid_t pid = checked(::fork(), "fork");
	if (pid == 0) {
		const int status = status_of(body, to_parent);
		std::cout.flush();
		::_exit(status);
	}
	to_parent.reset();
	std::string reason(256, '\0');
	const ssize_t length = ::read(reasons.get(), reason.data(), reason.size());
	reason.resize(static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
	int status = 0;
	while (::waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == skipped)
		throw Skip(reason);
	return WIFEXITED(status) && WEXITSTATUS(status) == passed;
}

} // namespace pvl
