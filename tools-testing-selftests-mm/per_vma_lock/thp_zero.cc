// SPDX-License-Identifier: GPL-2.0
//
// The huge zero page: a read maps it without an anon_vma, so whatever writes next has to bring one.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/setting.h"
#include "support/story.h"

namespace pvl
{

namespace
{

constexpr const char *use_zero_page = "/sys/kernel/mm/transparent_hugepage/use_zero_page";
constexpr std::uint8_t written = 0x3c;

// The series moves the anon_vma from the read that maps the huge zero page to the first write.
constexpr ExpectedCost pays_at_write{vma_lock_only, one_trylock};
constexpr ExpectedCost paid_at_read{one_trylock, vma_lock_only};

Step read_zeroes()
{
	return [](Memory &memory) { EXPECT_EQ(load(memory.unit_at(0)), 0); };
}

Step write_byte()
{
	return [](Memory &memory) { store(memory.unit_at(0), written); };
}

/// A story that runs with use_zero_page set to @p value.
Story with_zero_page(Story story, const std::string &value)
{
	const Step before = story.before;
	story.before = [=](Memory &memory) {
		memory.keep(setting_among(use_zero_page, {value}, value));
		before(memory);
	};
	return story;
}

std::vector<Story> stories()
{
	std::vector<Story> all;
	const Step all_zero = [](Memory &memory) { expect_contents(memory, {}); };
	const Step one_byte = [](Memory &memory) { expect_contents(memory, {{0, written}}); };

	all.push_back(with_zero_page({"thp_zero/first_read", Backing::thp, paid_at_read, nothing,
				      read_zeroes(), all_zero},
				     "1"));
	all.push_back(with_zero_page({"thp_zero/write_after_read", Backing::thp, pays_at_write,
				      read_zeroes(), write_byte(), one_byte},
				     "1"));
	all.push_back(
		with_zero_page({"thp_zero/first_read/use_zero_page_off", Backing::thp,
				ExpectedCost::both(one_trylock), nothing, read_zeroes(), all_zero},
			       "0"));
	all.push_back(with_zero_page({"thp_zero/write_after_read/use_zero_page_off", Backing::thp,
				      ExpectedCost::both(vma_lock_only), read_zeroes(),
				      write_byte(), one_byte},
				     "0"));
	return all;
}

INSTANTIATE_TEST_SUITE_P(ThpZero, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
