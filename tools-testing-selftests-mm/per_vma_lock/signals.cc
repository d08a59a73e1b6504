// SPDX-License-Identifier: GPL-2.0
//
// Accesses that end in a signal: which one, where, and that none of them leaves an anon_vma behind
// that a mainline kernel would not have made.

#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/signals.h"
#include "support/story.h"
#include "support/uapi.h"
#include "support/userfault.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t written = 0x11;
constexpr ExpectedCost vma_lock_suffices = ExpectedCost::both(vma_lock_only);

enum class Access { read, write };

struct Wanted {
	int number;
	int code;
	int other_code = code; ///< on kernels built without something
};

constexpr Wanted no_permission{SIGSEGV, SEGV_ACCERR};
constexpr Wanted nothing_mapped{SIGSEGV, SEGV_MAPERR};
constexpr Wanted beyond_end{SIGBUS, BUS_ADRERR};
// BUS_ADRERR without CONFIG_MEMORY_FAILURE
constexpr Wanted hardware_poison{SIGBUS, uapi::bus_mceerr_ar, BUS_ADRERR};

/// A story whose access has to end in @p wanted, at the first byte of unit 1.
Story signal_story(const std::string &name, Backing backing, Access access, const Wanted &wanted,
		   const ExpectedCost &cost, const Step &before = nothing,
		   int prot = PROT_READ | PROT_WRITE)
{
	auto caught = std::make_shared<std::optional<Caught>>();
	Story story;
	story.kind = "signal/" + name;
	story.backing = backing;
	story.prot = prot;
	story.cost = cost;
	story.before = [=](Memory &memory) {
		signal_of([] {}); // this thread's signal stack: not in the measured window
		before(memory);
	};
	story.access = [=](Memory &memory) {
		std::uint8_t *target = memory.unit_at(1);
		*caught = access == Access::read ? signal_of([=] { load(target); })
						 : signal_of([=] { store(target, written); });
	};
	story.check = [=](Memory &memory) {
		ASSERT_TRUE(caught->has_value()) << "no signal";
		EXPECT_EQ((*caught)->number, wanted.number);
		const int code = (*caught)->code;
		EXPECT_TRUE(code == wanted.code || code == wanted.other_code) << "si_code " << code;
		EXPECT_EQ((*caught)->address, memory.unit_at(1));
	};
	return story;
}

void cut_file(Memory &memory)
{
	checked(::ftruncate(memory.fd(), static_cast<off_t>(memory.unit())), "ftruncate");
}

void empty_file(Memory &memory)
{
	checked(::ftruncate(memory.fd(), 0), "ftruncate");
}

void unmap_unit(Memory &memory)
{
	checked(::munmap(memory.unit_at(1), memory.unit()), "munmap");
}

void guard_unit(Memory &memory)
{
	supported(::madvise(memory.unit_at(1), memory.unit(), uapi::madv_guard_install),
		  "guard region in " + name_of(memory.backing()));
}

std::vector<Story> permission_stories()
{
	std::vector<Story> all;
	for (const Backing backing : {Backing::anon, Backing::memfd_private, Backing::memfd_shared,
				      Backing::hugetlb_private, Backing::thp}) {
		const std::string name = name_of(backing);
		// No VM_WRITE: the fault must not prepare an anon_vma for a write that cannot be.
		all.push_back(signal_story("write_to_read_only/" + name, backing, Access::write,
					   no_permission, vma_lock_suffices, nothing, PROT_READ));
		all.push_back(signal_story("read_of_prot_none/" + name, backing, Access::read,
					   no_permission, vma_lock_suffices, nothing, PROT_NONE));
	}
	return all;
}

std::vector<Story> stories()
{
	// No VMA to lock: the fault looks again under the mmap_lock.
	constexpr ExpectedCost looked_twice = ExpectedCost::both({1, 1, 0});
	// The write prepares the anon_vma before it learns that there is nothing to copy.
	constexpr ExpectedCost prepared_in_vain = ExpectedCost::both(one_trylock);
	// Mainline sees the guard marker, or the end of the hugetlb file, before it wants an
	// anon_vma.
	constexpr ExpectedCost prepared_by_series{vma_lock_only, one_trylock};
	std::vector<Story> all = permission_stories();

	all.push_back(signal_story("read_unmapped", Backing::anon, Access::read, nothing_mapped,
				   looked_twice, unmap_unit));
	all.push_back(signal_story("write_unmapped", Backing::anon, Access::write, nothing_mapped,
				   looked_twice, unmap_unit));
	all.push_back(signal_story("read_beyond_end_of_file/memfd_private", Backing::memfd_private,
				   Access::read, beyond_end, vma_lock_suffices, cut_file));
	all.push_back(signal_story("write_beyond_end_of_file/memfd_private", Backing::memfd_private,
				   Access::write, beyond_end, prepared_in_vain, cut_file));
	all.push_back(signal_story("write_beyond_end_of_file/memfd_shared", Backing::memfd_shared,
				   Access::write, beyond_end, vma_lock_suffices, cut_file));
	all.push_back(signal_story("read_beyond_end_of_file/hugetlb_memfd_private",
				   Backing::hugetlb_memfd_private, Access::read, beyond_end,
				   vma_lock_suffices, cut_file));
	all.push_back(signal_story("write_beyond_end_of_file/hugetlb_memfd_private",
				   Backing::hugetlb_memfd_private, Access::write, beyond_end,
				   prepared_by_series, cut_file));
	// No page of the file is cached: a read that succeeds would need an anon_vma.
	all.push_back(signal_story("read_of_empty_file/hugetlb_memfd_private",
				   Backing::hugetlb_memfd_private, Access::read, beyond_end,
				   prepared_by_series, empty_file));
	all.push_back(signal_story("read_guard_region/anon", Backing::anon, Access::read,
				   {SIGSEGV, SEGV_MAPERR}, vma_lock_suffices, guard_unit));
	all.push_back(signal_story("write_guard_region/anon", Backing::anon, Access::write,
				   {SIGSEGV, SEGV_MAPERR}, vma_lock_suffices, guard_unit));
	all.push_back(signal_story("write_guard_region/memfd_private", Backing::memfd_private,
				   Access::write, {SIGSEGV, SEGV_MAPERR}, prepared_by_series,
				   guard_unit));

	auto uffd = std::make_shared<std::unique_ptr<Userfault>>();
	const Step poison = [=](Memory &memory) {
		*uffd = std::make_unique<Userfault>(uapi::uffd_feature_poison);
		(*uffd)->watch(memory.map().data(), memory.map().size(),
			       UFFDIO_REGISTER_MODE_MISSING);
		ASSERT_EQ((*uffd)->poison(memory.unit_at(1), memory.unit()), 0);
	};
	all.push_back(signal_story("read_uffd_poison/anon", Backing::anon, Access::read,
				   hardware_poison, vma_lock_suffices, poison));
	return all;
}

INSTANTIATE_TEST_SUITE_P(Signal, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
