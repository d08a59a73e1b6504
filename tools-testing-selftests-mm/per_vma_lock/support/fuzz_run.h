// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/fuzz_model.h"

namespace pvl
{

/// How long and how wide to fuzz.
struct FuzzPlan {
	std::uint64_t seed = 1;
	std::chrono::milliseconds duration{1000};
	unsigned threads = 2;
	std::uint64_t most_operations = 1000000; ///< per thread
};

/// What one thread did until something was wrong.
struct FuzzFailure {
	unsigned thread = 0;
	std::string what;
	std::vector<Operation> operations; ///< of that thread, the failing one last
};

/// What a run came to.
struct FuzzOutcome {
	std::uint64_t operations = 0;
	Tallies tallies; ///< of all threads
	std::optional<FuzzFailure> failure;
};

/// Fuzzes; each thread has a FuzzWorld of its own in the one address space, and choices that depend
/// on the seed and its number alone.
FuzzOutcome fuzz(const FuzzPlan &plan);

/// Carries @p operations out in a fresh world in a forked child. Returns what was wrong (a crash
/// counts), or nothing. Restores every setting in the SettingJournal, so the caller must hold none
/// changed.
std::optional<std::string> replay(const std::vector<Operation> &operations);

} // namespace pvl
