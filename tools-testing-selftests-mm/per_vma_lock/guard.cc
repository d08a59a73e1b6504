// SPDX-License-Identifier: GPL-2.0
//
// MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: guard regions need an anon_vma only in anonymous VMAs.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <string>
#include <vector>

#include "support/error.h"
#include "support/story.h"
#include "support/uapi.h"

namespace pvl
{

namespace
{

// Kernels older than 6.13 have no guard regions, older than 6.15 none in file mappings.
void guard(Memory &memory, std::size_t unit, int advice)
{
	if (::madvise(memory.unit_at(unit), memory.unit(), advice) != 0)
		throw Skip("this kernel has no guard regions for " + name_of(memory.backing()));
}

Story install(const std::string &name, Backing backing, const ExpectedCost &cost,
	      const Step &before = nothing)
{
	Story story;
	story.kind = "guard/install/" + name;
	story.backing = backing;
	story.cost = cost;
	story.before = before;
	story.access = [](Memory &memory) { guard(memory, 1, uapi::madv_guard_install); };
	story.check = [](Memory &memory) {
		guard(memory, 1, uapi::madv_guard_remove);
		EXPECT_EQ(load(memory.unit_at(1)), memory.initial_byte(memory.unit()));
		EXPECT_TRUE(memory.file_is_unchanged());
	};
	return story;
}

std::vector<Story> stories()
{
	std::vector<Story> all;
	constexpr ExpectedCost free_of_mmap_lock = ExpectedCost::both(vma_lock_only);
	const Step with_anon_vma = [](Memory &memory) { memory.prepare_anon_vma(); };

	all.push_back(install("fresh_anon", Backing::anon, {one_blocking, one_trylock}));
	all.push_back(
		install("anon_with_anon_vma", Backing::anon, free_of_mmap_lock, with_anon_vma));
	all.push_back(install("fresh_memfd_private", Backing::memfd_private, free_of_mmap_lock));
	all.push_back(install("fresh_disk_private", Backing::disk_private, free_of_mmap_lock));
	all.push_back(install("memfd_shared", Backing::memfd_shared, free_of_mmap_lock));
	return all;
}

INSTANTIATE_TEST_SUITE_P(Guard, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
