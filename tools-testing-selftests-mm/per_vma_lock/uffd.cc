// SPDX-License-Identifier: GPL-2.0
//
// userfaultfd: every ioctl that fills memory, into VMAs with and without an anon_vma, and the
// faults that wait for it.

#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
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

/// What one ioctl does to unit 0, and what has to be there afterwards.
Story ioctl_story(const std::string &name, Backing backing, const ExpectedCost &cost,
		  std::uint64_t mode, std::uint64_t features,
		  const std::function<int(Filler &, Memory &)> &call, const Step &check)
{
	auto filler = std::make_shared<Filler>();
	Story story;
	story.kind = "uffd/" + name;
	story.backing = backing;
	story.cost = cost;
	story.before = [=](Memory &memory) { filler->watch(memory, mode, features); };
	story.access = [=](Memory &memory) { EXPECT_EQ(call(*filler, memory), 0); };
	story.check = check;
	return story;
}

/// UFFDIO_MOVE from other memory of the process into memory that has no anon_vma yet.
Story move_story()
{
	auto filler = std::make_shared<Filler>();
	auto from = std::make_shared<std::unique_ptr<Memory>>();
	Story story;
	story.kind = "uffd/move/fresh_anon";
	story.cost = prepares;
	story.before = [=](Memory &memory) {
		*from = std::make_unique<Memory>(Backing::anon);
		std::fill_n((*from)->unit_at(0), (*from)->unit(), filled);
		filler->watch(memory, UFFDIO_REGISTER_MODE_MISSING, uapi::uffd_feature_move);
	};
	story.access = [=](Memory &memory) {
		EXPECT_EQ(filler->uffd->move(memory.unit_at(0), (*from)->unit_at(0), memory.unit()),
			  0);
	};
	story.check = [=](Memory &memory) {
		expect_unit_filled(memory, 0);
		EXPECT_EQ(load((*from)->unit_at(0)), 0) << "the source kept its page";
	};
	return story;
}

/// A fault that waits until another thread has filled the page.
Story missing_story(const std::string &name, bool write, const ExpectedCost &cost)
{
	auto filler = std::make_shared<Filler>();
	auto server = std::make_shared<std::jthread>();
	Story story;
	story.kind = "uffd/missing/" + name;
	story.cost = cost;
	story.before = [=](Memory &memory) {
		filler->watch(memory, UFFDIO_REGISTER_MODE_MISSING);
		std::uint8_t *page = memory.unit_at(0);
		const std::size_t bytes = memory.unit();
		*server = std::jthread([=] {
			constexpr int patience_ms = 10000;
			if (filler->uffd->next_fault(patience_ms) != 0) {
				EXPECT_EQ(filler->uffd->copy(page, filler->source.data(), bytes),
					  0);
			}
		});
	};
	story.access = [=](Memory &memory) {
		if (write)
			store(memory.unit_at(0), filled);
		else
			load(memory.unit_at(0));
	};
	story.check = [=](Memory &memory) {
		server->join();
		expect_unit_filled(memory, 0);
	};
	return story;
}

std::vector<Story> more_stories()
{
	constexpr auto missing = UFFDIO_REGISTER_MODE_MISSING;
	const auto zeropage = [](Filler &filler, Memory &memory) {
		return filler.uffd->zeropage(memory.unit_at(0), memory.unit());
	};
	const auto poison = [](Filler &filler, Memory &memory) {
		return filler.uffd->poison(memory.unit_at(0), memory.unit());
	};
	const auto minor_continue = [](Filler &filler, Memory &memory) {
		return filler.uffd->minor_continue(memory.unit_at(0), memory.unit());
	};
	const auto protect = [](Filler &filler, Memory &memory) {
		return filler.uffd->write_protect(memory.unit_at(0), memory.unit(), true);
	};
	const Step all_zero = [](Memory &memory) { EXPECT_EQ(load(memory.unit_at(0)), 0); };
	const Step as_before = [](Memory &memory) {
		EXPECT_EQ(load(memory.unit_at(0)), memory.initial_byte(0));
	};

	return {
		ioctl_story("zeropage/fresh_anon", Backing::anon, prepares, missing, 0, zeropage,
			    all_zero),
		ioctl_story("poison/fresh_anon", Backing::anon, prepares, missing,
			    uapi::uffd_feature_poison, poison, nothing),
		ioctl_story("continue/memfd_shared", Backing::memfd_shared,
			    ExpectedCost::both(vma_lock_only), UFFDIO_REGISTER_MODE_MINOR,
			    UFFD_FEATURE_MINOR_SHMEM, minor_continue, as_before),
		// Nothing is allocated: the ioctl just holds the mmap_lock.
		ioctl_story("write_protect/fresh_anon", Backing::anon,
			    ExpectedCost::both({1, 0, 0}), UFFDIO_REGISTER_MODE_WP,
			    UFFD_FEATURE_PAGEFAULT_FLAG_WP, protect, all_zero),
		move_story(),
		// The fault is taken again under the mmap_lock once it has been served.
		missing_story("read_anon", false, ExpectedCost::both({1, 1, 0})),
		missing_story("write_anon", true, ExpectedCost::both({2, 2, 1})),
	};
}

std::vector<Story> stories()
{
	std::vector<Story> all = more_stories();
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
