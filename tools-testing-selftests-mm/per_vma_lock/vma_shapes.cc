// SPDX-License-Identifier: GPL-2.0
//
// VMAs that were forked, moved, split, merged, locked, advised, dropped or swapped out before (or
// while) they get their first anonymous page.

#include <gtest/gtest.h>
#include <linux/kernel-page-flags.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/child.h"
#include "support/error.h"
#include "support/event_counter.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/smaps.h"
#include "support/story.h"
#include "support/swap.h"
#include "support/uapi.h"
#include "support/wait.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t written = 0x31;
constexpr std::uint8_t other = 0x32;
constexpr ExpectedCost first_write = ExpectedCost::both(one_trylock);
constexpr ExpectedCost vma_lock_suffices = ExpectedCost::both(vma_lock_only);

void write_first_byte(Memory &memory)
{
	store(memory.unit_at(0), written);
}

void advise(Memory &memory, int advice, const char *name)
{
	supported(::madvise(memory.map().data(), memory.map().size(), advice), name);
}

void first_byte_is_written(Memory &memory)
{
	expect_contents(memory, {{0, written}});
}

/// Writes the second byte of every unit, which makes small pages of zeroes the same.
void write_second_bytes(Memory &memory)
{
	for (std::size_t i = 0; i < memory.units(); i++)
		store(memory.unit_at(i) + 1, other);
}

/// Expects that write_second_bytes() and nothing but @p change has changed the memory.
void second_bytes_are_written(Memory &memory, const Change &change)
{
	const std::size_t unit = memory.unit();
	expect_contents(memory, {change,
				 {1, other},
				 {unit + 1, other},
				 {2 * unit + 1, other},
				 {3 * unit + 1, other}});
}

/// Whether the page at @p address has the flag @p flag, KPF_*.
bool has_page_flag(const void *address, int flag)
{
	return (page_flags(address) >> flag & 1) != 0;
}

/// How long ksmd and reclaim may take.
constexpr std::chrono::seconds patience(2);

Story write_story(const std::string &name, Backing backing, const ExpectedCost &cost,
		  const Step &before)
{
	return {"vma/" + name, backing, cost, before, write_first_byte, first_byte_is_written};
}

/// Has ksmd merge the memory's pages, which are the same.
void merge(Memory &memory)
{
	const std::string ksm = "/sys/kernel/mm/ksm/";
	advise(memory, uapi::madv_mergeable, "MADV_MERGEABLE");
	write_second_bytes(memory);
	memory.keep(std::make_unique<SettingGuard>(ksm + "sleep_millisecs", "1"));
	memory.keep(std::make_unique<SettingGuard>(ksm + "run", "1"));
	// KPF_KSM says nothing in Linux 6.12.
	const auto all_merged = [&] {
		return std::stoull(first_line("/proc/self/ksm_merging_pages")) >= memory.units();
	};
	if (!holds_within(patience, all_merged))
		throw Skip("ksmd did not merge the pages in time");
}

std::vector<Story> advice_stories()
{
	const auto advised = [](int advice, const char *name) {
		return [=](Memory &memory) { advise(memory, advice, name); };
	};
	const auto written_then = [](int advice, const char *name) {
		return [=](Memory &memory) {
			write_first_byte(memory);
			advise(memory, advice, name);
		};
	};
	std::vector<Story> all;

	all.push_back(write_story("mergeable_first_write", Backing::anon, first_write,
				  advised(uapi::madv_mergeable, "MADV_MERGEABLE")));
	all.push_back({"vma/write_to_merged", Backing::anon, vma_lock_suffices, merge,
		       write_first_byte, [](Memory &memory) {
			       second_bytes_are_written(memory, {0, written});
		       }});
	all.push_back(write_story("write_after_dontneed", Backing::anon, vma_lock_suffices,
				  written_then(MADV_DONTNEED, "MADV_DONTNEED")));
	all.push_back(write_story("write_after_free", Backing::anon, vma_lock_suffices,
				  written_then(uapi::madv_free, "MADV_FREE")));
	all.push_back(write_story("private_file_write_after_dontneed", Backing::memfd_private,
				  vma_lock_suffices, written_then(MADV_DONTNEED, "MADV_DONTNEED")));

	// Linux 6.12 knows it by a pidfd only for advice that it gives under the mmap_lock.
	const Step unchanged = [](Memory &memory) { expect_contents(memory, {}); };
	const Step dontneed_by_pidfd = [](Memory &memory) {
		supported(uapi::process_madvise_self(memory.map().data(), memory.map().size(),
						     MADV_DONTNEED),
			  "MADV_DONTNEED by a pidfd");
	};
	for (const Backing backing : {Backing::anon, Backing::memfd_private})
		all.push_back({"vma/dontneed_of_untouched/" + name_of(backing), backing,
			       vma_lock_suffices, nothing, dontneed_by_pidfd, unchanged});

	// Populating holds the mmap_lock from the start.
	const Step populate_read = advised(uapi::madv_populate_read, "MADV_POPULATE_READ");
	const Step populate_write = advised(uapi::madv_populate_write, "MADV_POPULATE_WRITE");
	for (const Backing backing : {Backing::anon, Backing::memfd_private}) {
		const std::string name = name_of(backing);
		all.push_back({"vma/populate_read/" + name, backing, ExpectedCost::both({1, 0, 0}),
			       nothing, populate_read, unchanged});
		all.push_back({"vma/populate_write/" + name, backing, ExpectedCost::both({1, 0, 1}),
			       nothing, populate_write, unchanged});
		all.push_back(write_story("write_after_populate_read/" + name, backing, first_write,
					  populate_read));
		all.push_back(write_story("write_after_populate_write/" + name, backing,
					  vma_lock_suffices, populate_write));
	}
	return all;
}

Story exec_story()
{
	Story story;
	story.kind = "vma/exec_of_private_file";
	story.backing = Backing::memfd_private;
	story.prot = PROT_READ | PROT_EXEC;
	story.cost = vma_lock_suffices;
	story.before = [](Memory &memory) {
#if defined(__x86_64__)
		const std::vector<std::uint8_t> code{0xb8, 0x2a, 0, 0, 0, 0xc3}; // return 42
#elif defined(__aarch64__)
		const std::vector<std::uint8_t> code{0x40, 0x05, 0x80, 0x52,
						     0xc0, 0x03, 0x5f, 0xd6};
#else
		const std::vector<std::uint8_t> code;
		throw Skip("no machine code for this architecture in the test");
#endif
		checked(::pwrite(memory.fd(), code.data(), code.size(), 0), "pwrite of code");
	};
	story.access = [](Memory &memory) {
		using Function = int (*)();
		EXPECT_EQ(reinterpret_cast<Function>(memory.unit_at(0))(), 42);
	};
	story.check = nothing;
	return story;
}

/// Locks the memory with the mlock2(2) flags @p flags. Throws Skip where this user may not.
void lock(Memory &memory, unsigned flags)
{
	const int result = ::mlock2(memory.map().data(), memory.map().size(), flags);
	if (result != 0 && errno == ENOMEM && !is_root())
		throw Skip("mlock2: RLIMIT_MEMLOCK is too small");
	supported(result, "mlock2");
}

/// Locks the memory without populating it.
void lock_on_fault(Memory &memory)
{
	lock(memory, MLOCK_ONFAULT);
}

std::vector<Story> locked_stories()
{
	const Step locked = [](Memory &memory) { lock(memory, 0); };

	return {
		write_story("mlock_onfault_first_write/anon", Backing::anon, first_write,
			    lock_on_fault),
		write_story("mlock_onfault_first_write/memfd_private", Backing::memfd_private,
			    first_write, lock_on_fault),
		// Locking populates writable private memory by writing.
		write_story("write_after_mlock/anon", Backing::anon, vma_lock_suffices, locked),
	};
}

std::vector<Story> split_stories()
{
	const auto protect = [](Memory &memory, std::size_t unit, int prot) {
		checked(::mprotect(memory.unit_at(unit), memory.unit(), prot), "mprotect");
	};
	const Step split = [=](Memory &memory) { protect(memory, 1, PROT_READ); };
	const Step split_and_write_next = [=](Memory &memory) {
		protect(memory, 0, PROT_READ | PROT_WRITE | PROT_EXEC);
		store(memory.unit_at(1), other);
	};
	const Step split_with_anon_vma = [=](Memory &memory) {
		store(memory.unit_at(1), other);
		protect(memory, 0, PROT_READ | PROT_WRITE | PROT_EXEC);
	};
	const Step split_and_merged = [=](Memory &memory) {
		protect(memory, 1, PROT_READ);
		protect(memory, 1, PROT_READ | PROT_WRITE);
	};
	const Step two_bytes = [](Memory &memory) {
		expect_contents(memory, {{0, written}, {memory.unit(), other}});
	};
	const Step both_halves_merge = [=](Memory &memory) {
		// The neighbour's anon_vma was shared, so the halves may become one VMA again.
		protect(memory, 0, PROT_READ | PROT_WRITE);
		expect_contents(memory, {{0, written}, {memory.unit(), other}});
	};

	return {
		write_story("first_write_after_split", Backing::anon, first_write, split),
		write_story("first_write_after_split_and_merge", Backing::anon, first_write,
			    split_and_merged),
		// A neighbour's anon_vma is found and shared, under the mmap_lock all the same.
		{"vma/first_write_beside_compatible_neighbour", Backing::anon, first_write,
		 split_and_write_next, write_first_byte, both_halves_merge},
		{"vma/write_after_split_with_anon_vma", Backing::anon, vma_lock_suffices,
		 split_with_anon_vma, write_first_byte, two_bytes},
	};
}

/// The memory's content moved elsewhere by mremap(2), and where it is now.
struct Moved {
	std::unique_ptr<Mapping> target;
	std::uint8_t *now = nullptr;
	std::uint8_t mark = 0; ///< what prepare_anon_vma() wrote
};

Story move_story(const std::string &name, Backing backing, const ExpectedCost &cost, int flags,
		 bool with_anon_vma, bool write_old)
{
	auto moved = std::make_shared<Moved>();
	Story story;
	story.kind = "vma/" + name + '/' + name_of(backing);
	story.backing = backing;
	story.cost = cost;
	story.before = [=](Memory &memory) {
		const std::size_t bytes = memory.map().size();
		if (with_anon_vma)
			moved->mark = memory.prepare_anon_vma();
		MapRequest request;
		request.bytes = bytes;
		request.prot = PROT_NONE;
		moved->target = std::make_unique<Mapping>(request);
		void *to = supported(::mremap(memory.map().data(), bytes, bytes,
					      MREMAP_MAYMOVE | MREMAP_FIXED | flags,
					      moved->target->data()),
				     "mremap");
		moved->now = static_cast<std::uint8_t *>(to);
	};
	story.access = [=](Memory &memory) {
		store(write_old ? memory.unit_at(0) : moved->now, written);
	};
	story.check = [=](Memory &memory) {
		auto shadow = memory.shadow();
		if (with_anon_vma)
			shadow.at(shadow.size() - memory.unit()) = moved->mark;
		if (!write_old)
			shadow.at(0) = written;
		EXPECT_EQ(first_difference(moved->now, shadow.data(), shadow.size()), shadow.size())
			<< "what was moved differs at this byte";
		EXPECT_TRUE(memory.file_is_unchanged());
		// What was left behind is as new: the file's content, or zero.
		if (write_old)
			first_byte_is_written(memory);
	};
	return story;
}

std::vector<Story> move_stories()
{
	constexpr int dontunmap = uapi::mremap_dontunmap;
	std::vector<Story> all;
	for (const Backing backing : {Backing::anon, Backing::memfd_private}) {
		all.push_back(move_story("first_write_after_mremap", backing, first_write, 0, false,
					 false));
		all.push_back(move_story("write_after_mremap_with_anon_vma", backing,
					 vma_lock_suffices, 0, true, false));
		all.push_back(move_story("write_to_mremap_dontunmap_target", backing,
					 vma_lock_suffices, dontunmap, true, false));
		// The source has given its anon_vma away with its pages.
		all.push_back(move_story("write_to_mremap_dontunmap_source", backing, first_write,
					 dontunmap, true, true));
	}
	return all;
}

Story stack_story()
{
	auto stack = std::make_shared<std::uint8_t *>();
	Story story;
	story.kind = "vma/stack_grows_down";
	story.units = 512; // the gap below a growing stack, and room to grow into
	// The fault below the VMA finds none, takes the mmap_lock for reading and, to grow the
	// VMA, gives it up and takes it for writing.
	story.cost = ExpectedCost::both({2, 1, 1});
	story.before = [=](Memory &memory) {
		const std::size_t bytes = memory.map().size();
		checked(::munmap(memory.map().data(), bytes), "munmap");
		void *map = supported(
			::mmap(memory.map().at(bytes - 4 * memory.unit()), 4 * memory.unit(),
			       PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0),
			"MAP_GROWSDOWN");
		*stack = static_cast<std::uint8_t *>(map);
	};
	story.access = [=](Memory &) { store(*stack - 1, written); };
	story.check = [=](Memory &) {
		EXPECT_EQ((*stack)[-1], written);
		EXPECT_EQ((*stack)[0], 0);
	};
	return story;
}

/// Calls @p page_out until the first page has gone. Throws Skip.
void until_paged_out(const Memory &memory, const std::function<void()> &page_out)
{
	const auto has_gone = [&] {
		unsigned char present = 1;
		page_out();
		checked(::mincore(memory.unit_at(0), page_bytes(), &present), "mincore");
		return (present & 1) == 0;
	};
	if (!holds_within(patience, has_gone))
		throw Skip("the page could not be paged out");
}

/// Replaces the memory by droppable one. Throws Skip.
void make_droppable(Memory &memory)
{
	supported(::mmap(memory.map().data(), memory.map().size(), PROT_READ | PROT_WRITE,
			 uapi::map_droppable | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		  "MAP_DROPPABLE");
}

std::vector<Story> droppable_stories()
{
	const Step dropped = [](Memory &memory) {
		make_droppable(memory);
		write_first_byte(memory);
		until_paged_out(memory,
				[&] { advise(memory, uapi::madv_pageout, "MADV_PAGEOUT"); });
	};
	// It may have been dropped already: then the read has mapped the zero page.
	const Step written_or_dropped = [](Memory &memory) {
		const std::uint8_t now = load(memory.unit_at(0));
		EXPECT_TRUE(now == written ||
			    (now == 0 && has_page_flag(memory.unit_at(0), KPF_ZERO_PAGE)))
			<< unsigned{now};
	};
	const Step maps_zero_page = [](Memory &memory) {
		EXPECT_TRUE(has_page_flag(memory.unit_at(0), KPF_ZERO_PAGE));
		expect_contents(memory, {});
	};
	return {
		{"vma/droppable_first_write", Backing::anon, first_write, make_droppable,
		 write_first_byte, written_or_dropped},
		{"vma/read_of_dropped", Backing::anon, vma_lock_suffices, dropped,
		 [](Memory &memory) { load(memory.unit_at(0)); }, maps_zero_page},
	};
}

std::vector<Story> swap_stories()
{
	auto swap = std::make_shared<std::unique_ptr<ZramSwap>>();
	const Step swapped_out = [=](Memory &memory) {
		write_second_bytes(memory);
		*swap = std::make_unique<ZramSwap>();
		until_paged_out(memory,
				[&] { advise(memory, uapi::madv_pageout, "MADV_PAGEOUT"); });
	};
	// What the first byte is then, if it is not 0.
	const auto check = [=](std::uint8_t first) {
		return [=](Memory &memory) {
			second_bytes_are_written(memory,
						 {0, first != 0 ? first : memory.initial_byte(0)});
			::madvise(memory.map().data(), memory.map().size(), MADV_DONTNEED);
			swap->reset();
		};
	};
	std::vector<Story> all;

	for (const Backing backing : {Backing::anon, Backing::memfd_private}) {
		const std::string name = name_of(backing);
		all.push_back(
			{"vma/read_of_swapped_out/" + name, backing, vma_lock_suffices, swapped_out,
			 [](Memory &memory) { EXPECT_EQ(load(memory.unit_at(0) + 1), other); },
			 check(0)});
		all.push_back({"vma/write_to_swapped_out/" + name, backing, vma_lock_suffices,
			       swapped_out, write_first_byte, check(written)});
	}
	return all;
}

std::vector<Story> stories()
{
	std::vector<Story> all{exec_story(), stack_story()};
	for (const auto &group : {advice_stories(), locked_stories(), split_stories(),
				  move_stories(), droppable_stories(), swap_stories()})
		all.insert(all.end(), group.begin(), group.end());
	return all;
}

INSTANTIATE_TEST_SUITE_P(Vma, Stories, testing::ValuesIn(stories()), story_name);

// What the first access of a forked child costs. Forking gives the child's VMA an anon_vma exactly
// where the parent's has one.
struct ForkCase {
	const char *name;
	Backing backing;
	bool parent_wrote;
	bool child_writes;
	bool wipe_on_fork;
	ExpectedCost cost;
};

class Fork : public testing::TestWithParam<ForkCase>
{
    protected:
	Fork() : memory_(GetParam().backing)
	{
		if (GetParam().parent_wrote)
			store(memory_.unit_at(0), written);
		if (GetParam().wipe_on_fork)
			advise(memory_, MADV_WIPEONFORK, "MADV_WIPEONFORK");
	}

	void access()
	{
		if (GetParam().child_writes)
			store(memory_.unit_at(0), other);
		else
			load(memory_.unit_at(0));
	}

	Memory memory_;
};

TEST_P(Fork, DataIsRight)
{
	const ForkCase &what = GetParam();
	const std::uint8_t before = what.parent_wrote ? written : memory_.initial_byte(0);

	EXPECT_TRUE(passes_in_child([&] {
		EXPECT_EQ(load(memory_.unit_at(0)), what.wipe_on_fork ? 0 : before);
		access();
		EXPECT_EQ(load(memory_.unit_at(0)), what.child_writes	? other
						    : what.wipe_on_fork ? 0
									: before);
	}));
	EXPECT_EQ(load(memory_.unit_at(0)), before);
	store(memory_.unit_at(0), other);
	EXPECT_TRUE(memory_.file_is_unchanged());
}

TEST_P(Fork, KeepsVmaLock)
{
	EXPECT_TRUE(passes_in_child([&] {
		LockCounter counter;
		const LockEvents seen = counter.measure([&] { access(); });
		expect_cost(std::string("fork/") + GetParam().name, GetParam().cost, seen);
	}));
}

INSTANTIATE_TEST_SUITE_P(
	Fault, Fork,
	testing::Values(
		ForkCase{"child_first_write", Backing::anon, false, true, false, first_write},
		ForkCase{"child_first_read", Backing::anon, false, false, false, vma_lock_suffices},
		ForkCase{"child_write_to_copied", Backing::anon, true, true, false,
			 vma_lock_suffices},
		ForkCase{"child_write_to_wiped", Backing::anon, true, true, true, first_write},
		ForkCase{"child_first_write_private_file", Backing::memfd_private, false, true,
			 false, first_write},
		ForkCase{"child_write_to_copied_private_file", Backing::memfd_private, true, true,
			 false, vma_lock_suffices},
		ForkCase{"child_first_write_thp", Backing::thp, false, true, false, first_write},
		ForkCase{"child_write_to_copied_thp", Backing::thp, true, true, false,
			 vma_lock_suffices},
		ForkCase{"child_write_to_copied_hugetlb", Backing::hugetlb_private, true, true,
			 false, vma_lock_suffices}),
	[](const testing::TestParamInfo<ForkCase> &info) { return info.param.name; });

struct AdviceCase {
	const char *name;
	Backing backing;
	int advice;
	bool by_pidfd; ///< process_madvise(2) instead of madvise(2)
	bool drops;    ///< private pages are gone afterwards
	LockCost cost; ///< on both kernels
};

class Advice : public testing::TestWithParam<AdviceCase>
{
    protected:
	Advice() : memory_(GetParam().backing)
	{
		if (GetParam().advice == uapi::madv_pageout)
			swap_.emplace();
		if (GetParam().backing == Backing::thp)
			fill_with_small_pages();
		else
			write();
	}

	/// What MADV_COLLAPSE is for. khugepaged may do it at any time from now on.
	void fill_with_small_pages()
	{
		advise(memory_, uapi::madv_nohugepage, "MADV_NOHUGEPAGE");
		advise(memory_, MADV_DONTNEED, "MADV_DONTNEED");
		write();
		advise(memory_, uapi::madv_hugepage, "MADV_HUGEPAGE");
	}

	/// Writes another value to every small page.
	void write() const
	{
		for (std::size_t at = 0; at < memory_.map().size(); at += page_bytes())
			store(memory_.map().at(at), value_at(at));
	}

	/// Expects what write() wrote, or nothing of it.
	void expect_contents(bool dropped) const
	{
		auto shadow = memory_.shadow();
		for (std::size_t at = 0; !dropped && at < shadow.size(); at += page_bytes())
			shadow[at] = value_at(at);
		EXPECT_EQ(first_difference(memory_.map().data(), shadow.data(), shadow.size()),
			  shadow.size())
			<< "the memory differs at this byte";
	}

	/// How much of the memory is mapped by huge pages, in KiB.
	[[nodiscard]] std::size_t huge_kib() const
	{
		return smaps_kib(memory_.map().data(), "AnonHugePages");
	}

	/// Gives the case's advice about all of the memory. Throws Skip.
	void give() const
	{
		const AdviceCase &what = GetParam();
		std::uint8_t *start = memory_.map().data();
		const auto bytes = static_cast<long>(memory_.map().size());
		const long done = what.by_pidfd
					  ? uapi::process_madvise_self(start, bytes, what.advice)
					  : ::madvise(start, bytes, what.advice);
		if (what.advice == uapi::madv_collapse)
			collapsed(done);
		else
			supported(done, what.name);
		EXPECT_EQ(done, what.by_pidfd ? bytes : 0);
	}

	Memory memory_;

    private:
	static std::uint8_t value_at(std::size_t at)
	{
		return static_cast<std::uint8_t>(at / page_bytes() + 1);
	}

	std::optional<ZramSwap> swap_;
};

TEST_P(Advice, DataIsRight)
{
	const AdviceCase &what = GetParam();

	expect_contents(false);
	if (what.advice == uapi::madv_pageout)
		until_paged_out(memory_, [&] { give(); });
	else
		give();
	if (what.advice == uapi::madv_collapse) {
		EXPECT_EQ(huge_kib(), memory_.map().size() >> 10);
	}
	expect_contents(what.drops);
	write();
	expect_contents(false);
	EXPECT_TRUE(memory_.file_is_unchanged());
}

TEST_P(Advice, KeepsVmaLock)
{
	LockCounter counter;
	if (GetParam().advice == uapi::madv_collapse) {
		// khugepaged sleeps for seconds between its rounds.
		for (int i = 0; i < 10 && huge_kib() != 0; i++)
			fill_with_small_pages();
		if (huge_kib() != 0)
			throw Skip("khugepaged is always faster");
	}
	const LockEvents seen = counter.measure([&] { give(); });
	expect_cost(std::string("advice/") + GetParam().name, ExpectedCost::both(GetParam().cost),
		    seen);
}

// To collapse a huge page, the mmap_lock is taken to look at it (but for the first one, where it is
// held), to look at it again and, for writing, to replace it; after the last one, to return.
constexpr LockCost collapse_of_two{7, 0, 0};
// Reclaim tries other locks, those of the anon_vmas.
constexpr LockCost pageout{1, {0, UINT64_MAX}, 0};

INSTANTIATE_TEST_SUITE_P(
	Vma, Advice,
	testing::Values(AdviceCase{"collapse", Backing::thp, uapi::madv_collapse, false, false,
				   collapse_of_two},
			AdviceCase{"collapse_by_pidfd", Backing::thp, uapi::madv_collapse, true,
				   false, collapse_of_two},
			AdviceCase{"pageout", Backing::anon, uapi::madv_pageout, false, false,
				   pageout},
			AdviceCase{"pageout_by_pidfd", Backing::anon, uapi::madv_pageout, true,
				   false, pageout},
			AdviceCase{"dontneed_by_pidfd", Backing::anon, MADV_DONTNEED, true, true,
				   vma_lock_only},
			AdviceCase{"private_file_dontneed_by_pidfd", Backing::memfd_private,
				   MADV_DONTNEED, true, true, vma_lock_only}),
	[](const testing::TestParamInfo<AdviceCase> &info) { return info.param.name; });

} // namespace

} // namespace pvl
