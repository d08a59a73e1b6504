// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <string>

#include "support/event_counter.h"

namespace pvl
{

/// How often something may happen: lowest and highest allowed count.
struct Range {
	std::uint64_t low = 0;
	std::uint64_t high = 0;

	constexpr Range() = default;
	// NOLINTNEXTLINE(google-explicit-constructor): a number is the range of that one number
	constexpr Range(std::uint64_t exactly) : low(exactly), high(exactly)
	{
	}
	constexpr Range(std::uint64_t at_least, std::uint64_t at_most)
		: low(at_least), high(at_most)
	{
	}

	[[nodiscard]] constexpr bool contains(std::uint64_t count) const
	{
		return low <= count && count <= high;
	}
	constexpr bool operator==(const Range &) const = default;
};

/// What one access may cost its thread: mmap_lock acquisitions, how many of them trylocks, and
/// calls of __anon_vma_prepare().
struct LockCost {
	Range mmap_locks;
	Range trylocks;
	Range anon_vma_prepares;

	/// Counts that could not be taken (no kprobes) match anything.
	[[nodiscard]] bool matches(const LockEvents &seen) const;
	constexpr bool operator==(const LockCost &) const = default;
};

inline constexpr LockCost vma_lock_only{}; ///< handled under the VMA lock alone
/// anon_vma prepared in place: one uncontended mmap_read_trylock()
inline constexpr LockCost one_trylock{1, 1, 1};
/// anon_vma prepared under an mmap_lock that was waited for
inline constexpr LockCost one_blocking{1, 0, 1};

/// The cost on a kernel without and with the series.
struct ExpectedCost {
	LockCost mainline;
	LockCost patched;

	/// The same on both kernels.
	static constexpr ExpectedCost both(const LockCost &cost)
	{
		return {cost, cost};
	}
};

/// Which kernel @p seen fits: "mainline", "patched", "both" or "other".
std::string verdict(const ExpectedCost &expected, const LockEvents &seen);

/// "# fault KIND mmap_lock N trylock N anon_vma N verdict V": the line scripts/run makes its table
/// of; "-" stands for a count that could not be taken.
std::string fault_line(const std::string &kind, const ExpectedCost &expected,
		       const LockEvents &seen);

/// Prints fault_line() and judges @p counted by --expect: adds a GoogleTest failure when it is not
/// the cost of the expected kernel. With --expect=auto on a kernel without the series, a cost that
/// the series changes, or that is not that of Linux 7.3, is not judged: throws Skip. Throws Skip,
/// too, when nothing was wrong but some of the counts could not be taken.
void expect_cost(const std::string &kind, const ExpectedCost &expected, const LockEvents &counted);

} // namespace pvl
