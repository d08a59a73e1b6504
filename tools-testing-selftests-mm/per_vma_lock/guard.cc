// SPDX-License-Identifier: GPL-2.0
//
// MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: guard regions need an anon_vma only in anonymous VMAs.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/fd.h"
#include "support/signals.h"
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

Story install_by_process_madvise()
{
	auto self = std::make_shared<Fd>();
	Story story;
	story.kind = "guard/process_madvise_install/fresh_anon";
	story.backing = Backing::anon;
	story.cost = {one_blocking, one_trylock};
	story.before = [=](Memory &) {
		*self = Fd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
	};
	story.access = [=](Memory &memory) {
		const iovec part{memory.unit_at(1), memory.unit()};
		const long done = ::syscall(SYS_process_madvise, self->get(), &part, 1,
					    uapi::madv_guard_install, 0);
		if (done < 0)
			throw Skip("process_madvise does not install guard regions here");
		EXPECT_EQ(done, static_cast<long>(memory.unit()));
	};
	story.check = [](Memory &memory) {
		std::uint8_t *target = memory.unit_at(1);
		EXPECT_TRUE(signal_of([=] { load(target); }));
	};
	return story;
}

Story remove_story()
{
	Story story;
	story.kind = "guard/remove/anon";
	story.backing = Backing::anon;
	story.cost = ExpectedCost::both(vma_lock_only);
	story.before = [](Memory &memory) { guard(memory, 1, uapi::madv_guard_install); };
	story.access = [](Memory &memory) { guard(memory, 1, uapi::madv_guard_remove); };
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
