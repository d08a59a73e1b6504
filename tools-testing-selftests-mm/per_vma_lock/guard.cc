// SPDX-License-Identifier: GPL-2.0
//
// MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: guard regions need an anon_vma only in anonymous VMAs.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <string>
#include <vector>

#include "support/error.h"
#include "support/signals.h"
#include "support/story.h"
#include "support/uapi.h"

namespace pvl
{

namespace
{

// Kernels older than 6.13 have no guard regions, older than 6.15 none in file mappings.
void install_guard(Memory &memory)
{
	supported(::madvise(memory.unit_at(1), memory.unit(), uapi::madv_guard_install),
		  "guard region in " + name_of(memory.backing()));
}

void remove_guard(Memory &memory)
{
	checked(::madvise(memory.unit_at(1), memory.unit(), uapi::madv_guard_remove),
		"MADV_GUARD_REMOVE");
}

void expect_guard(Memory &memory)
{
	std::uint8_t *target = memory.unit_at(1);
	EXPECT_TRUE(signal_of([=] { load(target); })) << "no guard region";
}

Story install(const std::string &name, Backing backing, const ExpectedCost &cost,
	      const Step &before = nothing)
{
	Story story;
	story.kind = "guard/install/" + name;
	story.backing = backing;
	story.cost = cost;
	story.before = before;
	story.access = install_guard;
	story.check = [](Memory &memory) {
		expect_guard(memory);
		remove_guard(memory);
		EXPECT_EQ(load(memory.unit_at(1)), memory.initial_byte(memory.unit()));
		EXPECT_TRUE(memory.file_is_unchanged());
	};
	return story;
}

Story install_by_process_madvise()
{
	Story story;
	story.kind = "guard/process_madvise_install/fresh_anon";
	story.backing = Backing::anon;
	story.cost = {one_blocking, one_trylock};
	story.access = [](Memory &memory) {
		const long done = uapi::process_madvise_self(memory.unit_at(1), memory.unit(),
							     uapi::madv_guard_install);
		EXPECT_EQ(supported(done, "process_madvise of a guard region"),
			  static_cast<long>(memory.unit()));
	};
	story.before = nothing;
	story.check = expect_guard;
	return story;
}

Story remove_story()
{
	Story story;
	story.kind = "guard/remove/anon";
	story.backing = Backing::anon;
	story.cost = ExpectedCost::both(vma_lock_only);
	story.before = install_guard;
	story.access = remove_guard;
	story.check = [](Memory &memory) { expect_contents(memory, {}); };
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
	all.push_back(install_by_process_madvise());
	all.push_back(remove_story());
	return all;
}

INSTANTIATE_TEST_SUITE_P(Guard, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
