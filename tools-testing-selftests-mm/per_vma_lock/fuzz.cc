// SPDX-License-Identifier: GPL-2.0
//
// A short run of what per_vma_lock_fuzz does for as long as one likes.

#include <gtest/gtest.h>

#include <iostream>

#include "support/fuzz_run.h"
#include "support/session.h"

namespace pvl
{

namespace
{

TEST(Fuzz, FindsNothingWrong)
{
	constexpr std::uint64_t normal_ms = 3000;
	FuzzPlan plan;
	plan.seed = session().seed;
	plan.duration = std::chrono::milliseconds(session().scaled(normal_ms));

	const FuzzOutcome outcome = fuzz(plan);
	std::cout << "# fuzz: --seed=" << plan.seed << ", " << outcome.operations
		  << " operations\n";
	EXPECT_GT(outcome.operations, 0U);
	EXPECT_FALSE(outcome.failure)
		<< outcome.failure->what << "; thread " << outcome.failure->thread << ", operation "
		<< outcome.failure->operations.size();
}

// The negative control: memory that changes behind the model's back is found.
TEST(Fuzz, FindsALie)
{
	EXPECT_FALSE(replay(parse_operations("map:0:0:0,write:0:5:7,read:0:0:0")));
	EXPECT_TRUE(replay(parse_operations("map:0:0:0,write:0:5:7,lie:0:9:0,read:0:0:0")));
}

} // namespace

} // namespace pvl
