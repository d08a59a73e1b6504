// SPDX-License-Identifier: GPL-2.0
//
// Every allocation of a first read or write fails once: /proc/thread-self/fail-nth makes the n-th
// allocation of the calling thread fail, for n = 1, 2, 3 and so on until the access needs no more.
// The process has to survive with the right data, and nothing may leak.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "support/cgroup.h"
#include "support/child.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/signals.h"
#include "support/smaps.h"
#include "support/story.h"
#include "support/uapi.h"
#include "support/userfault.h"
#include "support/wait.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t written = 0x2b;
constexpr unsigned most_allocations = 200;

/// The calling thread's fail-nth file. Documentation/fault-injection/fault-injection.rst
class FailNth
{
    public:
	/// Lets every kind of allocation of a fault fail when asked to, those that may sleep and
	/// those of user pages too. Throws Skip where this kernel or user cannot.
	FailNth() : fd_(::open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC))
	{
		if (!fd_)
			throw Skip(
				"no fail-nth: kernel without CONFIG_FAULT_INJECTION, or not root");
		if (::access("/sys/kernel/debug/fail_usercopy", F_OK) == 0)
			throw Skip("CONFIG_FAULT_INJECTION_USERCOPY: copies would fail, too");
		for (const char *setting :
		     {"failslab/ignore-gfp-wait", "failslab/cache-filter",
		      "fail_page_alloc/ignore-gfp-wait", "fail_page_alloc/ignore-gfp-highmem"})
			set(setting, "N");
		set("fail_page_alloc/min-order", "0");
		for (const char *cache : {"failslab/", "fail_page_alloc/"}) {
			set(std::string(cache) + "verbose", "0"); // there are thousands
			set(std::string(cache) + "times", "-1");  // nor are they to be used up
		}
	}

	/// The @p n -th allocation from now on fails; 0 switches off.
	void arm(unsigned n)
	{
		const std::string text = std::to_string(n);
		checked(::pwrite(fd_.get(), text.data(), text.size(), 0), "write to fail-nth");
	}

	/// Switches off and returns whether an allocation did fail.
	bool disarm()
	{
		std::string text(16, '\0');
		checked(::pread(fd_.get(), text.data(), text.size(), 0), "read of fail-nth");
		arm(0);
		return std::strtoul(text.c_str(), nullptr, 10) == 0;
	}

    private:
	void set(const std::string &name, const std::string &value)
	{
		settings_.push_back(
			std::make_unique<SettingGuard>("/sys/kernel/debug/" + name, value));
	}

	Fd fd_;
	std::vector<std::unique_ptr<SettingGuard>> settings_;
};

/// One access that allocates.
struct Case {
	std::string name;
	Backing backing;
	void (*before)(Memory &memory);
	/// Returns false when it failed in a way that a lack of memory allows.
	bool (*access)(Memory &memory);
	/// Expects what has to be so once it has succeeded.
	void (*check)(Memory &memory);
	bool own_page_table = false; ///< some of the memory has a page table of its own
};

// A fault that finds no memory is tried again. Only hugetlb may end it with SIGBUS.
template <typename Access> bool ends_well(const Memory &memory, const Access &access)
{
	const auto signal = signal_of(access);
	if (!signal)
		return true;
	EXPECT_TRUE(is_hugetlb(memory.backing()));
	EXPECT_EQ(signal->number, SIGBUS);
	return false;
}

bool had_memory(int result)
{
	if (result == 0)
		return true;
	EXPECT_EQ(errno, ENOMEM);
	return false;
}

bool write_first_byte(Memory &memory)
{
	std::uint8_t *target = memory.unit_at(0);
	return ends_well(memory, [=] { store(target, written); });
}

bool read_first_byte(Memory &memory)
{
	std::uint8_t *target = memory.unit_at(0);
	return ends_well(memory, [=] { load(target); });
}

/// Enough of the memory for a whole page table.
std::size_t units_with_page_table(Backing backing)
{
	return std::max(default_units(backing), 2 * pmd_bytes() / unit_bytes(backing));
}

/// The first byte that a page table starts with, which only this memory uses.
std::uint8_t *at_page_table(const Memory &memory)
{
	const auto misaligned = reinterpret_cast<std::uintptr_t>(memory.map().data()) % pmd_bytes();
	return memory.map().at(misaligned != 0 ? pmd_bytes() - misaligned : 0);
}

bool read_at_page_table(Memory &memory)
{
	const std::uint8_t *target = at_page_table(memory);
	return ends_well(memory, [=] { load(target); });
}

void page_is_as_made(Memory &memory)
{
	const std::uint8_t *target = at_page_table(memory);
	const auto offset = static_cast<std::size_t>(target - memory.map().data());
	for (std::size_t i = 0; i < page_bytes(); i++)
		ASSERT_EQ(target[i], memory.initial_byte(offset + i)) << "byte " << offset + i;
}

void first_byte_is_written(Memory &memory)
{
	expect_contents(memory, {{0, written}});
}

void nothing_is_written(Memory &memory)
{
	expect_contents(memory, {});
}

void all_is_a_hole(Memory &memory)
{
	const std::vector<std::uint8_t> zeroes(memory.map().size());
	EXPECT_EQ(first_difference(memory.map().data(), zeroes.data(), zeroes.size()),
		  zeroes.size());
}

void first_unit_is_a_hole(Memory &memory)
{
	auto shadow = memory.shadow();
	std::fill_n(shadow.begin(), memory.unit(), std::uint8_t{0});
	EXPECT_EQ(first_difference(memory.map().data(), shadow.data(), shadow.size()),
		  shadow.size());
}

void needs_guard_regions(Memory & /*memory*/)
{
	Memory other(Backing::anon);
	if (::madvise(other.unit_at(0), other.unit(), uapi::madv_guard_install) == 0)
		return;
	if (errno == EINVAL)
		throw Skip("this kernel has no guard regions");
	throw_errno("MADV_GUARD_INSTALL");
}

bool install_guard(Memory &memory)
{
	return had_memory(::madvise(memory.unit_at(1), memory.unit(), uapi::madv_guard_install));
}

void second_unit_is_guarded(Memory &memory)
{
	std::uint8_t *target = memory.unit_at(1);
	EXPECT_TRUE(signal_of([=] { load(target); }));
	checked(::madvise(target, memory.unit(), uapi::madv_guard_remove), "MADV_GUARD_REMOVE");
	nothing_is_written(memory);
}

/// Maps zero pages where the huge zero page was: there may be no anon_vma.
void split_huge_zero(Memory &memory)
{
	memory.keep(setting_among(use_zero_page, {"1"}, "1"));
	load(memory.unit_at(0));
	checked(::madvise(memory.map().at(page_bytes()), page_bytes(), MADV_DONTNEED),
		"MADV_DONTNEED");
}

int collapse(const Memory &memory)
{
	return ::madvise(memory.unit_at(0), memory.unit(), uapi::madv_collapse);
}

/// Throws Skip where memory without a writable page is not collapsed.
void split_huge_zero_to_collapse(Memory &memory)
{
	static bool possible = false; // in this test's process
	if (!possible) {
		Memory other(Backing::thp);
		split_huge_zero(other);
		const int result = collapse(other);
		if (result != 0 && errno == EINVAL)
			throw Skip("this kernel does not collapse where no page is writable");
		collapsed(result);
		possible = true;
	}
	split_huge_zero(memory);
}

bool collapse_first_unit(Memory &memory)
{
	return had_memory(collapse(memory));
}

void first_unit_is_collapsed(Memory &memory)
{
	EXPECT_EQ(smaps_kib(memory.unit_at(0), "AnonHugePages"), memory.unit() >> 10);
	nothing_is_written(memory);
}

std::unique_ptr<Userfault> uffd;
std::vector<std::uint8_t> source;

void watch(Memory &memory)
{
	uffd = std::make_unique<Userfault>();
	source.assign(memory.unit(), written);
	uffd->watch(memory.map().data(), memory.map().size(), UFFDIO_REGISTER_MODE_MISSING);
}

bool uffd_copy(Memory &memory)
{
	const int error = uffd->copy(memory.unit_at(0), source.data(), memory.unit());
	if (error == EEXIST && is_hugetlb(memory.backing()))
		return false; // hugetlb_mfill_atomic_pte() calls every failure that
	return had_memory(error);
}

void first_unit_is_copied(Memory &memory)
{
	EXPECT_EQ(first_difference(memory.unit_at(0), source.data(), source.size()), source.size());
}

/// Objects of a slab cache that are in use, not counting what processors and KASAN keep of those
/// that were freed. Documentation/ABI/testing/sysfs-kernel-slab. Throws Skip without the files.
std::uint64_t slab_objects(const std::string &cache)
{
	const std::string dir = "/sys/kernel/slab/" + cache + '/';
	if (write_text(dir + "shrink", "1") != 0)
		throw Skip("cannot shrink the slab cache " + cache);
	return std::stoull(first_line(dir + "objects"));
}

/// How long objects that RCU frees may take to go.
constexpr std::chrono::seconds grace(1);

/// What a leak leaves in use.
struct InUse {
	std::uint64_t anon_vmas = slab_objects("anon_vma");
	std::uint64_t chains = slab_objects("anon_vma_chain");

	[[nodiscard]] bool exceeds(const InUse &before, std::uint64_t slack = 0) const
	{
		return anon_vmas > before.anon_vmas + slack || chains > before.chains + slack;
	}
};

std::ostream &operator<<(std::ostream &out, const InUse &use)
{
	return out << use.anon_vmas << " anon_vma, " << use.chains << " anon_vma_chain";
}

class FailingAllocation : public testing::TestWithParam<Case>
{
    protected:
	/// The access to fresh memory whose allocation number @p n fails, then again without.
	/// Returns whether there were that many allocations.
	bool fails_at(unsigned n)
	{
		const Case &what = GetParam();
		Memory memory(what.backing, PROT_READ | PROT_WRITE,
			      what.own_page_table ? units_with_page_table(what.backing) : 0);
		what.before(memory);

		fail_.arm(n);
		const bool succeeded = what.access(memory);
		const bool failed_one = fail_.disarm();

		EXPECT_TRUE(succeeded || what.access(memory));
		what.check(memory);
		return failed_one;
	}

	/// The same, expecting that it leaves nothing more in use than @p before. Others may take
	/// something meanwhile, but only a leak does each time.
	bool fails_without_leak_at(unsigned n, InUse &before)
	{
		constexpr int most_tries = 4;
		for (int tries = 1;; tries++) {
			const bool failed_one = fails_at(n);
			if (HasFailure() ||
			    holds_within(grace, [&] { return !InUse().exceeds(before); }))
				return failed_one;
			const InUse was = std::exchange(before, InUse());
			if (tries == most_tries) {
				ADD_FAILURE() << "in use: " << before << ", before: " << was;
				return failed_one;
			}
		}
	}

	[[nodiscard]] std::uint64_t huge_pages() const
	{
		return is_hugetlb(GetParam().backing)
			       ? meminfo("HugePages_Free") - meminfo("HugePages_Rsvd")
			       : 0;
	}

    private:
	FailNth fail_;
};

TEST_P(FailingAllocation, LeavesTheDataRightAndLeaksNothing)
{
	const Backing backing = GetParam().backing;
	const auto pool =
		is_hugetlb(backing) ? free_huge_pages(2 * default_units(backing)) : nullptr;
	const std::uint64_t unused = huge_pages();

	signal_of([] {}); // the handler's own memory is not what is to fail
	fails_at(0);	  // none does
	fails_at(0);	  // now malloc() has adapted
	InUse in_use;
	for (unsigned n = 1; n <= most_allocations; n++) {
		SCOPED_TRACE("allocation " + std::to_string(n) + " fails");
		const bool failed_one = fails_without_leak_at(n, in_use);
		ASSERT_EQ(huge_pages(), unused);
		ASSERT_FALSE(HasFailure());
		if (!failed_one) {
			ASSERT_GT(n, 1U) << "nothing was allocated, so nothing was tested";
			return;
		}
	}
	FAIL() << "more than " << most_allocations << " allocations";
}

class FirstWrites : public testing::TestWithParam<Backing>
{
};

// A first write allocates the anon_vma's chain, the anon_vma, page tables (unless the pages around
// it had them) and the page, and debugging kernels what they note about these.
void first_writes_leak_nothing(const MemoryGroup &group, const Memory &memory)
{
	constexpr unsigned least_allocations = 3;
	const bool large = memory.unit() > page_bytes();
	const unsigned writes = large ? 32 : 200;
	const unsigned slack = writes / 2; // pages and objects that others may take meanwhile
	const std::uint64_t slack_pages = slack * (memory.unit() / page_bytes());
	MapRequest request{.bytes = memory.unit(), .alignment = memory.unit()};
	if (memory.fd() >= 0) {
		request.fd = memory.fd();
		request.flags = MAP_PRIVATE;
	}
	FailNth fail;

	for (unsigned n = 1; n <= most_allocations; n++) {
		SCOPED_TRACE("allocation " + std::to_string(n) + " fails");
		const auto pages = group.user_pages();
		const InUse before;
		unsigned failed = 0;
		for (unsigned i = 0; i < writes; i++) {
			const Mapping map(request);
			if (large)
				checked(::madvise(map.data(), map.size(), uapi::madv_hugepage),
					"MADV_HUGEPAGE");
			fail.arm(n);
			store(map.data(), written);
			failed += fail.disarm() ? 1 : 0;
			ASSERT_EQ(load(map.data()), written);
		}
		EXPECT_LT(group.user_pages(), pages + slack_pages);
		EXPECT_TRUE(holds_within(grace, [&] { return !InUse().exceeds(before, slack); }));
		ASSERT_FALSE(testing::Test::HasFailure());
		if (failed < writes - slack) {
			ASSERT_GT(n, least_allocations);
			return;
		}
	}
	FAIL() << "more than " << most_allocations << " allocations";
}

TEST_P(FirstWrites, LeakNothing)
{
	constexpr std::uint64_t most_bytes = std::uint64_t{512} << 20;
	const Memory memory(GetParam());
	const MemoryGroup group(most_bytes);
	EXPECT_TRUE(passes_in_child([&] {
		group.enter();
		first_writes_leak_nothing(group, memory);
	}));
	EXPECT_TRUE(memory.file_is_unchanged());
}

INSTANTIATE_TEST_SUITE_P(FailNth, FirstWrites,
			 testing::Values(Backing::anon, Backing::dev_zero, Backing::memfd_private,
					 Backing::tmpfs_private, Backing::disk_private,
					 Backing::thp, Backing::mthp),
			 [](const testing::TestParamInfo<Backing> &info) {
				 return name_of(info.param);
			 });

std::vector<Case> cases()
{
	std::vector<Case> all;
	const auto add = [&](const std::string &name, Backing backing, auto before, auto access,
			     auto check, bool own_page_table = false) {
		all.push_back({name + '_' + name_of(backing), backing, before, access, check,
			       own_page_table});
	};

	for (const Backing backing : all_backings()) {
		if (is_shared(backing))
			continue;
		if (!is_hugetlb(backing) || !has_file_content(backing)) // else it allocates nothing
			add("first_read", backing, nothing, read_at_page_table, page_is_as_made,
			    true);
		add("first_write", backing, nothing, write_first_byte, first_byte_is_written);
		if (backing != Backing::hugetlb_private) // where the read allocates all
			add("write_after_read", backing, read_unchanged, write_first_byte,
			    first_byte_is_written);
	}
	for (const Backing backing : {Backing::hugetlb_memfd_private, Backing::hugetlbfs_private})
		add("read_of_hole", backing, cut_to_a_hole, read_first_byte, all_is_a_hole);
	add("read_of_hole_beside_cached_page", Backing::hugetlb_memfd_private, punch_first_unit,
	    read_first_byte, first_unit_is_a_hole);
	for (const Backing backing :
	     {Backing::anon, Backing::memfd_private, Backing::hugetlb_private})
		add("uffd_copy_fresh", backing, watch, uffd_copy, first_unit_is_copied);
	add("collapse_of_split_huge_zero", Backing::thp, split_huge_zero_to_collapse,
	    collapse_first_unit, first_unit_is_collapsed);
	add("guard_install_fresh", Backing::anon, needs_guard_regions, install_guard,
	    second_unit_is_guarded);
	return all;
}

INSTANTIATE_TEST_SUITE_P(FailNth, FailingAllocation, testing::ValuesIn(cases()),
			 [](const testing::TestParamInfo<Case> &info) { return info.param.name; });

} // namespace

} // namespace pvl
