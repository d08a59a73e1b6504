// SPDX-License-Identifier: GPL-2.0
//
// userfaultfd: every ioctl that fills memory, into VMAs with and without an anon_vma, and the
// faults that wait for it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/error.h"
#include "support/event_counter.h"
#include "support/fd.h"
#include "support/signals.h"
#include "support/story.h"
#include "support/uapi.h"
#include "support/userfault.h"
#include "support/wait.h"

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

using Call = std::function<int(Filler &, Memory &)>;

void expect_filled(Memory &memory)
{
	std::vector<std::uint8_t> wanted(memory.unit(), filled);
	EXPECT_EQ(first_difference(memory.unit_at(0), wanted.data(), memory.unit()), memory.unit());
}

/// The same where the file has not been changed.
void expect_unit_filled(Memory &memory)
{
	expect_filled(memory);
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
	story.check = expect_unit_filled;
	return story;
}

/// Whether the page at @p address is write-protected by a userfaultfd, from /proc/self/pagemap.
bool is_write_protected(const void *address)
{
	constexpr unsigned uffd_wp_bit = 57;
	const Fd pagemap(checked(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "pagemap"));
	std::uint64_t entry = 0;
	const auto page = reinterpret_cast<std::uintptr_t>(address) / page_bytes();
	checked(::pread(pagemap.get(), &entry, sizeof(entry),
			static_cast<off_t>(page * sizeof(entry))),
		"pread of pagemap");
	return (entry >> uffd_wp_bit & 1) != 0;
}

void read_first_byte(Memory &memory)
{
	load(memory.unit_at(0));
}

/// What one ioctl does to unit 0 after @p first, and what has to be there afterwards.
Story ioctl_story(const std::string &name, Backing backing, const ExpectedCost &cost,
		  std::uint64_t mode, std::uint64_t features, const Call &call, const Step &check,
		  const Step &first = nothing)
{
	auto filler = std::make_shared<Filler>();
	Story story;
	story.kind = "uffd/" + name;
	story.backing = backing;
	story.cost = cost;
	story.before = [=](Memory &memory) {
		first(memory);
		filler->watch(memory, mode, features);
	};
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
		expect_unit_filled(memory);
		EXPECT_EQ(load((*from)->unit_at(0)), 0) << "the source kept its page";
	};
	return story;
}

/// What makes faults on unit 0 wait, and what ends that.
struct Wait {
	const char *name;
	std::uint64_t mode;
	std::uint64_t features;
	Call prepare;
	Call resolve;
};

/// A fault that waits until another thread has read of it and resolved it.
Story wait_story(const Wait &wait, Backing backing, bool write, const ExpectedCost &cost,
		 const Step &check)
{
	auto filler = std::make_shared<Filler>();
	auto server = std::make_shared<std::jthread>();
	Story story;
	story.kind = std::string("uffd/") + wait.name + (write ? "/write_" : "/read_") +
		     name_of(backing);
	story.backing = backing;
	story.cost = cost;
	story.before = [=](Memory &memory) {
		filler->watch(memory, wait.mode, wait.features);
		ASSERT_EQ(wait.prepare(*filler, memory), 0);
		*server = std::jthread([=, &memory] {
			constexpr int patience_ms = 10000;
			const std::uintptr_t fault = filler->uffd->next_fault(patience_ms);
			ASSERT_EQ(fault, reinterpret_cast<std::uintptr_t>(memory.unit_at(0)));
			EXPECT_EQ(wait.resolve(*filler, memory), 0);
		});
	};
	story.access = [=](Memory &memory) {
		if (write)
			store(memory.unit_at(0), filled);
		else
			load(memory.unit_at(0));
	};
	story.check = check;
	story.finish = [=](Memory &) {
		if (server->joinable())
			server->join();
	};
	return story;
}

int fill(Filler &filler, Memory &memory)
{
	return filler.uffd->copy(memory.unit_at(0), filler.source.data(), memory.unit());
}

/// Faults of private hugetlb memory. Mainline looks for userfaultfd before it wants an anon_vma.
/// The series gets that first, unless it is a read and the file has pages.
std::vector<Story> hugetlb_wait_stories()
{
	constexpr ExpectedCost prepares_first{{1, 1, 0}, {2, 2, 1}};
	constexpr auto missing = UFFDIO_REGISTER_MODE_MISSING;
	const auto after = [](const Step &step) {
		return [=](Filler &, Memory &memory) {
			step(memory);
			return 0;
		};
	};
	const Wait no_page{"missing", missing, 0, after(nothing), fill};
	const Wait no_pages{"missing_in_empty_file", missing, 0, after(cut_to_a_hole), fill};
	const Wait hole{"missing_beside_cached_page", missing, 0, after(punch_first_unit), fill};

	return {
		wait_story(no_page, Backing::hugetlb_private, false, prepares_first, expect_filled),
		wait_story(no_page, Backing::hugetlb_private, true, prepares_first, expect_filled),
		wait_story(no_pages, Backing::hugetlb_memfd_private, false, prepares_first,
			   expect_filled),
		wait_story(hole, Backing::hugetlb_memfd_private, false,
			   ExpectedCost::both({1, 1, 0}), expect_filled),
	};
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
		EXPECT_EQ(
			first_difference(memory.unit_at(0), memory.shadow().data(), memory.unit()),
			memory.unit());
	};
	const Step poisoned = [](Memory &memory) {
		const auto caught = signal_of([&] { load(memory.unit_at(0)); });
		ASSERT_TRUE(caught) << "no signal";
		EXPECT_EQ(caught->number, SIGBUS);
		EXPECT_EQ(caught->address, memory.unit_at(0));
		// BUS_ADRERR without CONFIG_MEMORY_FAILURE
		EXPECT_TRUE(caught->code == uapi::bus_mceerr_ar || caught->code == BUS_ADRERR);
	};
	const Step zero_and_protected = [](Memory &memory) {
		expect_contents(memory, {});
		EXPECT_TRUE(is_write_protected(memory.unit_at(0)));
	};
	const Step first_byte_written = [](Memory &memory) {
		expect_contents(memory, {{0, filled}});
		EXPECT_FALSE(is_write_protected(memory.unit_at(0)));
	};
	const Call no_call = [](Filler &, Memory &) { return 0; };
	const Wait missing_page{"missing", missing, 0, no_call, fill};
	const Wait minor{"minor", UFFDIO_REGISTER_MODE_MINOR, UFFD_FEATURE_MINOR_SHMEM, no_call,
			 minor_continue};
	const Wait protected_zero_page{
		"protected_zero_page", UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
		[=](Filler &filler, Memory &memory) {
			read_first_byte(memory);
			return protect(filler, memory);
		},
		[](Filler &filler, Memory &memory) {
			return filler.uffd->write_protect(memory.unit_at(0), memory.unit(), false);
		}};

	return {
		ioctl_story("zeropage/fresh_anon", Backing::anon, prepares, missing, 0, zeropage,
			    all_zero),
		ioctl_story("poison/fresh_anon", Backing::anon, prepares, missing,
			    uapi::uffd_feature_poison, poison, poisoned),
		ioctl_story("continue/memfd_shared", Backing::memfd_shared,
			    ExpectedCost::both(vma_lock_only), UFFDIO_REGISTER_MODE_MINOR,
			    UFFD_FEATURE_MINOR_SHMEM, minor_continue, as_before),
		// Nothing is allocated: the ioctl just holds the mmap_lock.
		ioctl_story("write_protect/zero_page", Backing::anon, ExpectedCost::both({1, 0, 0}),
			    UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_PAGEFAULT_FLAG_WP, protect,
			    zero_and_protected, read_first_byte),
		move_story(),
		// The fault is taken again under the mmap_lock once it has been served.
		wait_story(missing_page, Backing::anon, false, ExpectedCost::both({1, 1, 0}),
			   expect_unit_filled),
		wait_story(missing_page, Backing::anon, true, ExpectedCost::both({2, 2, 1}),
			   expect_unit_filled),
		wait_story(minor, Backing::memfd_shared, false, ExpectedCost::both({1, 1, 0}),
			   as_before),
		wait_story(minor, Backing::memfd_private, false, ExpectedCost::both({1, 1, 0}),
			   as_before),
		// Mainline sees the write protection before it wants an anon_vma.
		wait_story(protected_zero_page, Backing::anon, true, {{1, 1, 1}, {2, 2, 1}},
			   first_byte_written),
	};
}

/// Maps the memory's file again where it is, shared, from a descriptor that only reads. Such a VMA
/// has neither VM_SHARED nor VM_MAYWRITE, and no userfaultfd may have it.
void remap_shared_read_only(const Memory &memory)
{
	const std::string path = "/proc/self/fd/" + std::to_string(memory.fd());
	const Fd file(checked(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open"));
	supported(::mmap(memory.map().data(), memory.map().size(), PROT_READ,
			 MAP_SHARED | MAP_FIXED, file.get(), 0),
		  "mmap of a file opened read-only");
}

/// UFFDIO_COPY where it is refused: it gives no anon_vma to what never has an anonymous page.
Story refused_copy_story()
{
	auto filler = std::make_shared<Filler>();
	Story story;
	story.kind = "uffd/copy/shared_file_opened_read_only";
	story.backing = Backing::memfd_shared;
	story.cost = {one_blocking, vma_lock_only};
	story.before = [=](Memory &memory) {
		remap_shared_read_only(memory);
		EXPECT_THROW(filler->watch(memory, UFFDIO_REGISTER_MODE_MISSING),
			     std::system_error);
	};
	story.access = [=](Memory &memory) { EXPECT_EQ(fill(*filler, memory), ENOENT); };
	story.check = [](Memory &memory) { expect_contents(memory, {}); };
	return story;
}

std::vector<Story> stories()
{
	std::vector<Story> all = more_stories();
	for (Story &story : hugetlb_wait_stories())
		all.push_back(std::move(story));
	all.push_back(refused_copy_story());
	const Step with_anon_vma = [](Memory &memory) { memory.prepare_anon_vma(); };

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
				 ExpectedCost::both(vma_lock_only), cut_to_a_hole));
	return all;
}

INSTANTIATE_TEST_SUITE_P(Uffd, Stories, testing::ValuesIn(stories()), story_name);

// The same where the VMA is locked by a writer, so that it is looked up under the mmap_lock.
TEST(UffdRefused, CopyUnderTheMmapLockPreparesNothing)
{
	constexpr std::chrono::seconds patience(10);
	LockCounter counter;
	Memory memory(Backing::memfd_shared);
	const Userfault uffd;
	const std::vector<std::uint8_t> source(memory.unit(), filled);
	remap_shared_read_only(memory);
	const std::jthread writer([&](const std::stop_token &stop) {
		for (int prot = PROT_NONE; !stop.stop_requested(); prot ^= PROT_READ)
			checked(::mprotect(memory.map().data(), memory.map().size(), prot),
				"mprotect");
	});

	LockEvents seen;
	const auto waits = [&] {
		int error = 0;
		seen = counter.measure([&] {
			error = uffd.copy(memory.unit_at(0), source.data(), memory.unit());
		});
		EXPECT_EQ(error, ENOENT);
		// A VMA lock that 6.12 tries for in vain counts as a trylock.
		return seen.mmap_locks() != 0 && seen.trylocks.value_or(0) == 0;
	};
	if (!holds_within(patience, waits))
		throw Skip("the VMA was never found locked");
	expect_cost("uffd/copy/shared_file_opened_read_only/locked", {one_blocking, {1, 0, 0}},
		    seen);
}

} // namespace

} // namespace pvl
