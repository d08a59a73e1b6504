// SPDX-License-Identifier: GPL-2.0
#include "support/lock_cost.h"

#include <algorithm>
#include <gtest/gtest.h>

#include <iostream>
#include <sstream>

#include "support/error.h"
#include "support/session.h"

namespace pvl
{

namespace
{

std::string text(const std::optional<std::uint64_t> &count)
{
	return count ? std::to_string(*count) : "-";
}

std::string text(const Range &range)
{
	if (range.low == range.high)
		return std::to_string(range.low);
	return std::to_string(range.low) + ".." + std::to_string(range.high);
}

std::string text(const LockEvents &seen)
{
	return "mmap_lock " + std::to_string(seen.mmap_locks()) + " trylock " +
	       text(seen.trylocks) + " anon_vma " + text(seen.anon_vma_prepares);
}

std::string text(const LockCost &cost)
{
	return "mmap_lock " + text(cost.mmap_locks) + " trylock " + text(cost.trylocks) +
	       " anon_vma " + text(cost.anon_vma_prepares);
}

} // namespace

bool LockCost::matches(const LockEvents &seen) const
{
	return mmap_locks.contains(seen.mmap_locks()) &&
	       (!seen.trylocks || trylocks.contains(*seen.trylocks)) &&
	       (!seen.anon_vma_prepares || anon_vma_prepares.contains(*seen.anon_vma_prepares));
}

std::string verdict(const ExpectedCost &expected, const LockEvents &seen)
{
	const bool mainline = expected.mainline.matches(seen);
	const bool patched = expected.patched.matches(seen);

	if (mainline && patched)
		return "both";
	if (mainline)
		return "mainline";
	return patched ? "patched" : "other";
}

std::string fault_line(const std::string &kind, const ExpectedCost &expected,
		       const LockEvents &seen)
{
	std::ostringstream line;
	line << "# fault " << kind << ' ' << text(seen) << " verdict " << verdict(expected, seen);
	return line.str();
}

void expect_cost(const std::string &kind, const ExpectedCost &expected, const LockEvents &counted)
{
	const Expect judged = session().judged();
	LockEvents seen = counted;

	// An attempt that failed because another thread held the lock is no acquisition.
	seen.read_locks -= std::min(seen.read_locks, seen.failed_locks);
	std::cout << fault_line(kind, expected, seen) << std::endl;
	if (judged == Expect::automatic) {
		if (expected.mainline != expected.patched)
			throw Skip("series not applied");
		if (!expected.mainline.matches(seen)) // an older kernel, another architecture
			throw Skip("series not applied, and this kernel counts " + text(seen));
	}

	const bool patched = judged == Expect::patched;
	const LockCost &wanted = patched ? expected.patched : expected.mainline;
	EXPECT_TRUE(wanted.matches(seen))
		<< kind << ": expected " << text(wanted) << " ("
		<< (patched ? "patched" : "mainline") << "), seen " << text(seen)
		<< ", failed locks " << seen.failed_locks << ", page faults " << seen.page_faults;
	if (!seen.trylocks || !seen.anon_vma_prepares)
		throw Skip("no kprobes: only acquisitions of the mmap_lock were counted");
}

} // namespace pvl
