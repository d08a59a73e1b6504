// SPDX-License-Identifier: GPL-2.0
//
// userfaultfd: every ioctl that fills memory, into VMAs with and without an anon_vma, and the
// faults that wait for it.

#include <gtest/gtest.h>
#include <linux/userfaultfd.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "support/error.h"
#include "support/story.h"
#include "support/uapi.h"
#include "support/userfault.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t filled = 0x77;

// uffd_lock_vma(): mainline falls back to a blocking mmap_lock for want of an anon_vma.
constexpr ExpectedCost prepares{one_blocking, one_trylock};

/// A userfaultfd and a page of source data, made by the story's first step.
struct Filler {
	std::unique_ptr<Userfault> uffd;
	std::vector<std::uint8_t> source;

	void watch(Memory &memory, std::uint64_t mode, std::uint64_t features = 0)
	{
		uffd = std::make_unique<Userfault>(features);
		source.assign(memory.unit(), filled);
		uffd->watch(memory.map().data(), memory.map().size(), mode);
	}
};

void expect_unit_filled(Memory &memory, std::size_t index)
{
	std::vector<std::uint8_t> wanted(memory.unit(), filled);
	EXPECT_EQ(first_difference(memory.unit_at(index), wanted.data(), memory.unit()),
		  memory.unit());
	EXPECT_TRUE(is_shared(memory.backing()) || memory.file_is_unchanged());
}

Story copy_story(const std::string &name, Backing backing, const ExpectedCost &cost,
		 const Step &first = nothing, int prot = PROT_READ | PROT_WRITE)
{
	auto filler = std::make_shared<Filler>();
	Story story;
	story.kind = "uffd/copy/" + name;
	story.backing = backing;
	story.cost = cost;
	story.prot = prot;
	story.before = [=](Memory &memory) {
		first(memory);
		filler->watch(memory, UFFDIO_REGISTER_MODE_MISSING);
	};
	story.access = [=](Memory &memory) {
		EXPECT_EQ(
			filler->uffd->copy(memory.unit_at(0), filler->source.data(), memory.unit()),
			0);
	};
	story.check = [](Memory &memory) { expect_unit_filled(memory, 0); };
	return story;
}

std::vector<Story> stories()
{
	std::vector<Story> all;
	const Step with_anon_vma = [](Memory &memory) { memory.prepare_anon_vma(); };
	// Give the file no page where UFFDIO_COPY is to put one.
	const Step punched = [](Memory &memory) {
		if (::ftruncate(memory.fd(), 0) != 0 ||
		    ::ftruncate(memory.fd(), static_cast<off_t>(memory.map().size())) != 0)
			throw_errno("ftruncate");
	};

	all.push_back(copy_story("fresh_anon", Backing::anon, prepares));
	all.push_back(copy_story("fresh_thp_vma", Backing::thp, prepares));
	all.push_back(copy_story("fresh_memfd_private", Backing::memfd_private, prepares));
	all.push_back(copy_story("fresh_hugetlb_private", Backing::hugetlb_private, prepares));
	all.push_back(copy_story("fresh_anon_without_write_permission", Backing::anon, prepares,
				 nothing, PROT_READ));
	all.push_back(copy_story("anon_with_anon_vma", Backing::anon,
				 ExpectedCost::both(vma_lock_only), with_anon_vma));
	all.push_back(copy_story("memfd_private_with_anon_vma", Backing::memfd_private,
				 ExpectedCost::both(vma_lock_only), with_anon_vma));
	all.push_back(copy_story("memfd_shared", Backing::memfd_shared,
				 ExpectedCost::both(vma_lock_only), punched));
	return all;
}

INSTANTIATE_TEST_SUITE_P(Uffd, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
