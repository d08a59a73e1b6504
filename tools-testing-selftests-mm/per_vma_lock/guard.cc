// SPDX-License-Identifier: GPL-2.0
//
// MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: guard regions need an anon_vma only in anonymous VMAs.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csignal>
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
	supported(::madvise(memory.unit_at(1), memory.unit(), uapi::madv_guard_remove),
		  "MADV_GUARD_REMOVE");
}

/// The same @p advice by process_madvise(2).
Step by_process_madvise(int advice)
{
	return [=](Memory &memory) {
		const long done =
			uapi::process_madvise_self(memory.unit_at(1), memory.unit(), advice);
		EXPECT_EQ(supported(done, "process_madvise of a guard region"),
			  static_cast<long>(memory.unit()));
	};
}

void expect_guard(Memory &memory)
{
	std::uint8_t *target = memory.unit_at(1);
	const auto caught = signal_of([=] { load(target); });
	ASSERT_TRUE(caught) << "no guard region";
	EXPECT_EQ(caught->number, SIGSEGV);
	EXPECT_EQ(caught->code, SEGV_MAPERR);
	EXPECT_EQ(caught->address, target);
}

Story install(const std::string &name, Backing backing, const ExpectedCost &cost,
	      const Step &before = nothing, const Step &access = install_guard,
	      int prot = PROT_READ | PROT_WRITE)
{
	Story story;
	story.kind = "guard/install/" + name;
	story.backing = backing;
	story.prot = prot;
	story.cost = cost;
	story.before = before;
	story.access = access;
	story.check = [](Memory &memory) {
		expect_guard(memory);
		remove_guard(memory);
		EXPECT_EQ(load(memory.unit_at(1)), memory.initial_byte(memory.unit()));
		EXPECT_TRUE(memory.file_is_unchanged());
	};
	return story;
}

Story remove(const std::string &name, const Step &before, const Step &access)
{
	Story story;
	story.kind = "guard/remove/" + name;
	story.backing = Backing::anon;
	story.cost = ExpectedCost::both(vma_lock_only);
	story.before = before;
	story.access = access;
	story.check = [](Memory &memory) { expect_contents(memory, {}); };
	return story;
}

std::vector<Story> stories()
{
	std::vector<Story> all;
	constexpr ExpectedCost free_of_mmap_lock = ExpectedCost::both(vma_lock_only);
	constexpr ExpectedCost prepares{one_blocking, one_trylock};
	const Step with_anon_vma = [](Memory &memory) { memory.prepare_anon_vma(); };

	all.push_back(install("fresh_anon", Backing::anon, prepares));
	all.push_back(install("fresh_anon_by_process_madvise", Backing::anon, prepares, nothing,
			      by_process_madvise(uapi::madv_guard_install)));
	// No VM_WRITE: the marker needs an anon_vma all the same.
	all.push_back(install("fresh_read_only_anon", Backing::anon, prepares, nothing,
			      install_guard, PROT_READ));
	all.push_back(
		install("anon_with_anon_vma", Backing::anon, free_of_mmap_lock, with_anon_vma));
	all.push_back(install("fresh_memfd_private", Backing::memfd_private, free_of_mmap_lock));
	all.push_back(install("fresh_disk_private", Backing::disk_private, free_of_mmap_lock));
	all.push_back(install("memfd_shared", Backing::memfd_shared, free_of_mmap_lock));
	all.push_back(remove("anon", install_guard, remove_guard));
	all.push_back(remove("anon_by_process_madvise", install_guard,
			     by_process_madvise(uapi::madv_guard_remove)));
	// Without any there is nothing to remove: no need of an anon_vma.
	all.push_back(remove("fresh_anon", nothing, remove_guard));
	return all;
}

INSTANTIATE_TEST_SUITE_P(Guard, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
