// SPDX-License-Identifier: GPL-2.0
//
// The huge zero page: a read maps it without an anon_vma, so whatever writes next has to bring one.

#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
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
#include "support/uapi.h"
#include "support/userfault.h"
#include "support/wait.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t written = 0x3c;
constexpr std::uint64_t bytes_in_kib = 1024;

// The series moves the anon_vma from the read that maps the huge zero page to the first write.
constexpr ExpectedCost pays_at_write{vma_lock_only, one_trylock};
constexpr ExpectedCost paid_at_read{one_trylock, vma_lock_only};

void read_zeroes(Memory &memory)
{
	EXPECT_EQ(load(memory.unit_at(0)), 0);
}

void write_byte(Memory &memory)
{
	store(memory.unit_at(0), written);
}

/// Maps the huge zero page by a read.
void read_huge_zero(Memory &memory)
{
	read_zeroes(memory);
	if (!is_huge_zero_page(memory.unit_at(0)))
		throw Skip("the huge zero page was not mapped");
}

/// Reads memory that has no huge zero page to map.
void read_without_huge_zero(Memory &memory)
{
	read_zeroes(memory);
	EXPECT_FALSE(is_huge_zero_page(memory.unit_at(0)));
}

/// A story that runs with use_zero_page set to @p value.
Story with_zero_page(Story story, const std::string &value)
{
	const Step before = story.before;
	story.before = [=](Memory &memory) {
		memory.keep(setting_among(use_zero_page, {value}, value));
		before(memory);
	};
	return story;
}

/// A write by the kernel through get_user_pages().
void write_by_process_vm(Memory &memory)
{
	std::uint8_t byte = written;
	const iovec local{&byte, 1};
	const iovec remote{memory.unit_at(0), 1};
	EXPECT_EQ(::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0), 1);
}

void read_then_split(Memory &memory)
{
	read_huge_zero(memory);
	checked(::mprotect(memory.map().at(memory.unit() / 2), memory.unit() / 2, PROT_READ),
		"mprotect");
	EXPECT_FALSE(is_huge_zero_page(memory.unit_at(0)));
}

void read_then_turn_zero_page_off(Memory &memory)
{
	read_huge_zero(memory);
	memory.keep(std::make_unique<SettingGuard>(use_zero_page, "0"));
}

/// Huge pages off. The huge zero page that is mapped stays: the write replaces it by a huge page
/// all the same, or splits it on kernels without do_huge_zero_wp_pmd().
void read_then_no_huge_pages(Memory &memory)
{
	read_huge_zero(memory);
	checked(::madvise(memory.map().data(), memory.map().size(), uapi::madv_nohugepage),
		"MADV_NOHUGEPAGE");
}

std::vector<Story> stories()
{
	std::vector<Story> all;
	const Step all_huge_zero = [](Memory &memory) {
		read_huge_zero(memory);
		expect_contents(memory, {});
	};
	const Step all_zero = [](Memory &memory) {
		read_without_huge_zero(memory);
		expect_contents(memory, {});
	};
	const Step one_byte = [](Memory &memory) {
		EXPECT_FALSE(is_huge_zero_page(memory.unit_at(0)));
		expect_contents(memory, {{0, written}});
	};
	const auto add = [&](const std::string &name, const ExpectedCost &cost, const Step &before,
			     const Step &access, const Step &check, const char *zero_page = "1") {
		all.push_back(with_zero_page(
			{"thp_zero/" + name, Backing::thp, cost, before, access, check},
			zero_page));
	};
	constexpr ExpectedCost allocates = ExpectedCost::both(one_trylock);
	constexpr ExpectedCost has_huge_page = ExpectedCost::both(vma_lock_only);

	add("first_read", paid_at_read, nothing, read_zeroes, all_huge_zero);
	add("write_after_read", pays_at_write, read_huge_zero, write_byte, one_byte);
	add("first_read/use_zero_page_off", allocates, nothing, read_zeroes, all_zero, "0");
	add("write_after_read/use_zero_page_off", has_huge_page, read_without_huge_zero, write_byte,
	    one_byte, "0");
	add("gup_write_after_read", {{1, 0, 0}, {1, 0, 1}}, read_huge_zero, write_by_process_vm,
	    one_byte);
	add("write_after_read/split", pays_at_write, read_then_split, write_byte, one_byte);
	add("write_after_read/zero_page_turned_off", pays_at_write, read_then_turn_zero_page_off,
	    write_byte, one_byte);
	add("write_after_read/huge_pages_turned_off", pays_at_write, read_then_no_huge_pages,
	    write_byte, one_byte);
	return all;
}

INSTANTIATE_TEST_SUITE_P(ThpZero, Stories, testing::ValuesIn(stories()), story_name);

class ThpZeroMapped : public testing::Test
{
    protected:
	ThpZeroMapped()
		: zero_page_(setting_among(use_zero_page, {"1"}, "1")), memory_(Backing::thp)
	{
	}

	[[nodiscard]] std::uint64_t anon_huge_kib() const
	{
		return smaps_kib(memory_.map().data(), "AnonHugePages");
	}

	std::unique_ptr<SettingGuard> zero_page_;
	Memory memory_;
};

TEST_F(ThpZeroMapped, ByAReadOnly)
{
	EXPECT_EQ(load(memory_.unit_at(0)), 0);
	EXPECT_EQ(anon_huge_kib(), 0U);
	EXPECT_TRUE(is_huge_zero_page(memory_.unit_at(0)));
}

TEST_F(ThpZeroMapped, IsReplacedByAHugePageWhenWritten)
{
	read_huge_zero(memory_);
	store(memory_.unit_at(0), written);
	if (anon_huge_kib() == 0)
		throw Skip("no huge page could be allocated");
	EXPECT_EQ(anon_huge_kib(), memory_.unit() / bytes_in_kib);
	EXPECT_FALSE(is_huge_zero_page(memory_.unit_at(0)));
	expect_contents(memory_, {{0, written}});
}

TEST_F(ThpZeroMapped, IsInheritedByAForkedChild)
{
	read_huge_zero(memory_);
	EXPECT_TRUE(passes_in_child([&] {
		EXPECT_EQ(load(memory_.unit_at(0)), 0);
		store(memory_.unit_at(0), written);
		expect_contents(memory_, {{0, written}});
	}));
	EXPECT_TRUE(is_huge_zero_page(memory_.unit_at(0)));
	EXPECT_EQ(load(memory_.unit_at(0)), 0);
	store(memory_.unit_at(1), written);
	expect_contents(memory_, {{memory_.unit(), written}});
}

TEST_F(ThpZeroMapped, ForkedChildKeepsVmaLock)
{
	read_huge_zero(memory_);
	EXPECT_TRUE(passes_in_child([&] {
		LockCounter counter;
		const LockEvents seen =
			counter.measure([&] { store(memory_.unit_at(0), written); });
		expect_cost("thp_zero/write_by_forked_child", pays_at_write, seen);
	}));
}

void collapse(const Memory &memory)
{
	collapsed(::madvise(memory.unit_at(0), memory.unit(), uapi::madv_collapse));
}

TEST(Collapse, OfHugeZeroMemory)
{
	Memory memory(Backing::thp);
	memory.keep(setting_among(use_zero_page, {"1"}, "1"));
	read_huge_zero(memory);
	collapse(memory);
	expect_contents(memory, {});
	store(memory.unit_at(0), written);
	expect_contents(memory, {{0, written}});
}

/// Whether MADV_COLLAPSE takes memory without a writable page: not in Linux 6.12.
bool collapses_read_only_pages()
{
	const Memory memory(Backing::thp);
	std::uint8_t *start = memory.unit_at(0);
	checked(::madvise(start, memory.unit(), uapi::madv_nohugepage), "MADV_NOHUGEPAGE");
	store(start, written);
	checked(::madvise(start, memory.unit(), uapi::madv_hugepage), "MADV_HUGEPAGE");
	checked(::mprotect(start, memory.unit(), PROT_READ), "mprotect");
	const int result = ::madvise(start, memory.unit(), uapi::madv_collapse);
	if (result == -1 && errno == EINVAL)
		return false;
	collapsed(result);
	return true;
}

/// Maps zero pages where the huge zero page was.
void split_huge_zero(Memory &memory)
{
	memory.keep(setting_among(use_zero_page, {"1"}, "1"));
	read_huge_zero(memory);
	checked(::madvise(memory.map().at(page_bytes()), page_bytes(), MADV_DONTNEED),
		"MADV_DONTNEED");
	EXPECT_FALSE(is_huge_zero_page(memory.unit_at(0)));
}

// What replaces the zero pages is an anonymous folio, for which there may be no anon_vma yet.
TEST(Collapse, OfSplitHugeZeroMemory)
{
	if (!collapses_read_only_pages())
		throw Skip("this kernel does not collapse where no page is writable");
	Memory memory(Backing::thp);
	split_huge_zero(memory);
	collapse(memory);
	EXPECT_EQ(smaps_kib(memory.unit_at(0), "AnonHugePages"), memory.unit() / bytes_in_kib);
	expect_contents(memory, {});
	store(memory.unit_at(0), written);
	expect_contents(memory, {{0, written}});
}

// Whether or not the memory has an anon_vma, the mmap_lock is taken to look at it, to look at it
// again, to replace it (for writing), and when that is done.
TEST(Collapse, OfSplitHugeZeroMemoryPreparesOnce)
{
	if (!collapses_read_only_pages())
		throw Skip("this kernel does not collapse where no page is writable");
	LockCounter counter;
	Memory memory(Backing::thp);
	split_huge_zero(memory);
	const LockEvents seen = counter.measure([&] { collapse(memory); });
	expect_cost("thp_zero/collapse_of_split", {{4, 0, 0}, {4, 0, 1}}, seen);
}

// There is nothing to replace.
TEST(Collapse, OfHugeZeroMemoryPreparesNothing)
{
	LockCounter counter;
	Memory memory(Backing::thp);
	memory.keep(setting_among(use_zero_page, {"1"}, "1"));
	read_huge_zero(memory);
	const LockEvents seen = counter.measure([&] { collapse(memory); });
	expect_cost("thp_zero/collapse", ExpectedCost::both({1, 0, 0}), seen);
	EXPECT_TRUE(is_huge_zero_page(memory.unit_at(0)));
}

/// Gives a system call's errno on a kernel without and with the series, and judges @p seen as
/// expect_cost() does a cost.
void expect_errno(const std::string &kind, int mainline, int patched, int seen)
{
	const Expect judged = session().judged();
	const char *verdict = mainline == patched ? "both"
			      : seen == mainline  ? "mainline"
						  : "patched";

	if (seen != mainline && seen != patched)
		verdict = "other";
	std::cout << "# errno " << kind << ' ' << seen << " verdict " << verdict << std::endl;
	if (judged == Expect::automatic)
		throw Skip("series not applied");
	EXPECT_EQ(seen, judged == Expect::patched ? patched : mainline) << std::strerror(seen);
}

/// What MADV_COLLAPSE of the first @p bytes ends with: 0 or errno. Throws Skip where a huge page
/// cannot be had.
int collapse_errno(const Memory &memory, std::size_t bytes)
{
	const int result = ::madvise(memory.unit_at(0), bytes, uapi::madv_collapse);
	if (result != 0 && errno != EBUSY && errno != EINVAL)
		collapsed(result);
	return result == 0 ? 0 : errno;
}

/// Runs @p touch on the memory while it gets no huge pages.
void touch_small_pages(const Memory &memory, const std::function<void()> &touch)
{
	std::uint8_t *start = memory.map().data();
	checked(::madvise(start, memory.map().size(), uapi::madv_nohugepage), "MADV_NOHUGEPAGE");
	touch();
	checked(::madvise(start, memory.map().size(), uapi::madv_hugepage), "MADV_HUGEPAGE");
}

/// Maps nothing but small zero pages, in the first unit.
void map_zero_pages(const Memory &memory)
{
	touch_small_pages(memory, [&] {
		for (std::size_t at = 0; at < memory.unit(); at += page_bytes())
			load(memory.map().at(at));
	});
}

/// Leaves the first unit a page table, and nothing in it.
void map_empty_page_table(const Memory &memory)
{
	touch_small_pages(memory, [&] {
		load(memory.unit_at(0));
		checked(::madvise(memory.unit_at(0), page_bytes(), MADV_DONTNEED), "MADV_DONTNEED");
	});
}

struct Unwritten {
	const char *name;
	void (*map)(const Memory &memory);
};

/// Memory without anon_vma that has no folio of its own, but a page table.
class CollapseOfUnwritten : public testing::TestWithParam<Unwritten>
{
    protected:
	CollapseOfUnwritten()
	{
		if (!collapses_read_only_pages())
			throw Skip("this kernel does not collapse where no page is writable");
		memory_.emplace(Backing::thp);
		GetParam().map(*memory_);
	}

	[[nodiscard]] std::string kind(const std::string &how) const
	{
		return "collapse/" + how + '/' + GetParam().name;
	}

	[[nodiscard]] std::uint64_t huge_kib() const
	{
		return smaps_kib(memory_->unit_at(0), "AnonHugePages");
	}

	std::optional<Memory> memory_;
};

TEST_P(CollapseOfUnwritten, MakesAHugePage)
{
	const int error = collapse_errno(*memory_, memory_->unit());
	EXPECT_EQ(huge_kib(), error == 0 ? memory_->unit() / bytes_in_kib : 0);
	expect_contents(*memory_, {});
	store(memory_->unit_at(0), written);
	expect_contents(*memory_, {{0, written}});
	expect_errno(kind("mapped"), EINVAL, 0, error);
}

TEST_P(CollapseOfUnwritten, IsRefusedWhereUserfaultfdWaits)
{
	const Userfault uffd;
	uffd.watch(memory_->map().data(), memory_->map().size(), UFFDIO_REGISTER_MODE_MISSING);
	const int error = collapse_errno(*memory_, memory_->unit());
	EXPECT_EQ(huge_kib(), 0U);
	EXPECT_EQ(uffd.unwatch(memory_->map().data(), memory_->map().size()), 0);
	expect_contents(*memory_, {});
	expect_errno(kind("userfaultfd"), EINVAL, EBUSY, error);
}

INSTANTIATE_TEST_SUITE_P(Thp, CollapseOfUnwritten,
			 testing::Values(Unwritten{"small_zero_pages", map_zero_pages},
					 Unwritten{"empty_page_table", map_empty_page_table}),
			 [](const testing::TestParamInfo<Unwritten> &info) {
				 return info.param.name;
			 });

// As with an anon_vma, there is nothing to do.
TEST(Collapse, OfLessThanAHugePageDoesNothing)
{
	const Memory memory(Backing::thp);
	expect_errno("collapse/half/untouched", EINVAL, 0,
		     collapse_errno(memory, memory.unit() / 2));
}

TEST(Collapse, OfLessThanAHugePageDoesNothingWithAnonVma)
{
	const Memory memory(Backing::thp);
	memory.prepare_anon_vma();
	EXPECT_EQ(collapse_errno(memory, memory.unit() / 2), 0);
}

// Without an anon_vma, fork() copies no page table.
TEST_F(ThpZeroMapped, ForkedChildCollapsesOnceItHasRead)
{
	read_huge_zero(memory_);
	EXPECT_TRUE(passes_in_child([&] {
		const int error = collapse_errno(memory_, memory_.unit());
		EXPECT_EQ(load(memory_.unit_at(0)), 0);
		EXPECT_EQ(collapse_errno(memory_, memory_.unit()), 0);
		expect_contents(memory_, {});
		expect_errno("collapse/forked_child/huge_zero_page", 0, EINVAL, error);
	}));
	EXPECT_TRUE(is_huge_zero_page(memory_.unit_at(0)));
}

TEST(Collapse, OfUntouchedMemoryGivesItNoAnonVma)
{
	const Memory memory(Backing::thp);
	LockCounter counter;
	int result = 0;
	const LockEvents seen = counter.measure(
		[&] { result = ::madvise(memory.unit_at(0), memory.unit(), uapi::madv_collapse); });
	EXPECT_EQ(result, -1);
	EXPECT_EQ(errno, EINVAL);
	if (!seen.anon_vma_prepares)
		throw Skip("no kprobes to count __anon_vma_prepare() with");
	EXPECT_EQ(*seen.anon_vma_prepares, 0U);
}

// Reading the huge zero page makes the process one whose memory khugepaged looks at. Nothing else
// does here: without an anon_vma, mapping memory does not, and without huge pages, nor does
// writing.
TEST(Khugepaged, CollapsesOtherMemoryOfWhoeverReadHugeZero)
{
	constexpr std::chrono::seconds patience(30);
	const std::string thp = "/sys/kernel/mm/transparent_hugepage/";
	const SettingGuard scans(thp + "khugepaged/scan_sleep_millisecs", "10");
	const SettingGuard allocates(thp + "khugepaged/alloc_sleep_millisecs", "10");
	Memory read(Backing::thp_always);
	Memory small(Backing::thp_always);
	const auto huge_kib = [&] { return smaps_kib(small.unit_at(0), "AnonHugePages"); };

	read.keep(setting_among(use_zero_page, {"1"}, "1"));
	read_huge_zero(read);
	{
		const SettingGuard never(thp + "enabled", "never");
		for (std::size_t at = 0; at < small.map().size(); at += page_bytes())
			store(small.map().at(at), written);
		EXPECT_EQ(huge_kib(), 0U);
	}
	EXPECT_TRUE(holds_within(patience, [&] { return huge_kib() != 0; }));
	for (std::size_t at = 0; at < small.map().size(); at += page_bytes())
		ASSERT_EQ(small.map().at(at)[0], written);
	EXPECT_EQ(load(read.unit_at(0)), 0);
}

} // namespace

} // namespace pvl
