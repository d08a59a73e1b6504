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

void print(const Tallies &tallies)
{
	for (std::size_t i = 0; i < action_count; i++) {
		const Tally &tally = tallies.at(i);
		std::cout << "# fuzz: " << name_of(static_cast<Action>(i)) << ": done "
			  << tally.done << ", refused " << tally.refused << ", skipped "
			  << tally.skipped << (tally.why.empty() ? "" : ", ") << tally.why << '\n';
	}
}

TEST(Fuzz, FindsNothingWrong)
{
	constexpr std::uint64_t normal_ms = 3000;
	FuzzPlan plan;
	plan.seed = session().seed;
	plan.duration = std::chrono::milliseconds(session().scaled(normal_ms));

	std::cout << "# fuzz: --seed=" << plan.seed << std::endl;
	const FuzzOutcome outcome = fuzz(plan);
	std::cout << "# fuzz: " << outcome.operations << " operations\n";
	print(outcome.tallies);
	EXPECT_GT(outcome.operations, 0U);
	EXPECT_FALSE(outcome.failure)
		<< outcome.failure->what << "; thread " << outcome.failure->thread << ", operation "
		<< outcome.failure->operations.size();
}

// What the fuzzer leaves out when it is refused, it does not test: each action has to succeed for
// some kind of memory, unless this machine can do it for none.
TEST(Fuzz, CarriesOutEveryAction)
{
	FuzzWorld world;
	for (const Operation &operation : every_operation()) {
		const auto wrong = world.apply(operation);
		ASSERT_FALSE(wrong) << to_text(operation) << ": " << *wrong;
	}
	print(world.tallies());
	for (std::size_t i = 0; i < static_cast<std::size_t>(Action::lie); i++) {
		const Tally &tally = world.tallies().at(i);
		const bool supported = tally.skipped == 0 || tally.refused != 0;
		EXPECT_TRUE(!supported || tally.done != 0)
			<< name_of(static_cast<Action>(i)) << " was never carried out";
	}
}

// The negative control: memory that changes behind the model's back is found.
TEST(Fuzz, FindsALie)
{
	EXPECT_FALSE(replay(parse_operations("map:0:0:0,write:0:5:7,read:0:0:0")));
	EXPECT_TRUE(replay(parse_operations("map:0:0:0,write:0:5:7,lie:0:9:0,read:0:0:0")));
}

} // namespace

} // namespace pvl
