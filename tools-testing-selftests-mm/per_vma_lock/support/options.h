// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "support/session.h"

namespace pvl
{

/// A command line that makes no sense; what() says what was wrong and what to do.
class UsageError : public std::runtime_error
{
    public:
	using std::runtime_error::runtime_error;
};

/// What the command line asks for, beside the settings that went into the Session.
enum class Command { run, list, help };

/// Reads per_vma_lock's own options (GoogleTest has taken its --gtest_* ones out already) and the
/// environment variable PER_VMA_LOCK_SCALE into @p session. Throws UsageError.
Command parse_options(const std::vector<std::string> &arguments, Session &session);

/// A whole number without sign, at most @p highest. Throws UsageError naming @p option otherwise.
std::uint64_t parse_number(const std::string &option, const std::string &text, std::uint64_t lowest,
			   std::uint64_t highest);

} // namespace pvl
