// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "support/event_counter.h"
#include "support/lock_cost.h"
#include "support/memory.h"

namespace pvl
{

/// One step of a Story, on the memory that it is about.
using Step = std::function<void(Memory &)>;

/// What happens to one piece of memory, told in three steps, and what the second one may cost.
///
/// Each Story is two tests: DataIsRight runs all three steps; KeepsVmaLock measures the access and
/// judges its cost. Where a step fails those after it are left out. Steps may share state by
/// capturing a std::shared_ptr: every test runs in a process of its own.
struct Story {
	/// Words separated by slashes and underscores, e.g. "uffd/copy/fresh_anon". What follows
	/// the first slash is the test's name.
	std::string kind;
	Backing backing = Backing::anon;
	ExpectedCost cost;
	Step before; ///< makes the memory ready; not measured
	Step access; ///< the measured access
	Step check;  ///< compares the outcome with what it has to be
	int prot = PROT_READ | PROT_WRITE;
	std::size_t units = 0;		   ///< 0: as many as is usual for the backing
	Counted counted = Counted::thread; ///< whose mmap_lock acquisitions are the access's
	/// Comes last however the others ended, even by an exception, while the memory is there;
	/// must not throw. Empty: nothing.
	Step finish{};
};

void PrintTo(const Story &story, std::ostream *out);

/// The suite that runs stories. Use:
/// INSTANTIATE_TEST_SUITE_P(Uffd, Stories, testing::ValuesIn(stories()), story_name);
class Stories : public testing::TestWithParam<Story>
{
};

/// A test name made of the kind: what follows its first slash, slashes turned into underscores.
std::string story_name(const testing::TestParamInfo<Story> &info);

/// A step that does nothing.
void nothing(Memory &memory);

/// A step that reads the first byte and expects it to be as it was made.
void read_unchanged(Memory &memory);

/// A step that cuts the file to nothing and back: it has no page then.
void cut_to_a_hole(Memory &memory);

/// A step that leaves the file its other pages, but not those of the first unit.
void punch_first_unit(Memory &memory);

/// A byte that has changed: offset and new value.
using Change = std::pair<std::size_t, std::uint8_t>;

/// Expects the whole mapping to be as it was made but for @p changes, and, of a private mapping,
/// the file unchanged.
void expect_contents(Memory &memory, std::initializer_list<Change> changes);

} // namespace pvl
