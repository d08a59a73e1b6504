// SPDX-License-Identifier: GPL-2.0
//
// Every allocation of a first write fails once: /proc/thread-self/fail-nth makes the n-th
// allocation of the calling thread fail, for n = 1, 2, 3 and so on until the access needs no more.
// The process has to survive with the right data, and nothing may leak.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "support/cgroup.h"
#include "support/child.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/signals.h"
#include "support/story.h"
#include "support/uapi.h"
#include "support/userfault.h"

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
	const char *name;
	Backing backing;
	void (*before)(Memory &memory);
	/// Returns false when it failed in a way that a lack of memory allows.
	bool (*access)(Memory &memory);
	/// Expects what has to be so once it has succeeded.
	void (*check)(Memory &memory);
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

void no_preparation(Memory & /*memory*/)
{
}

void read_before(Memory &memory)
{
	EXPECT_EQ(load(memory.unit_at(0)), 0);
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

void first_byte_is_written(Memory &memory)
{
	expect_contents(memory, {{0, written}});
}

void nothing_is_written(Memory &memory)
{
	expect_contents(memory, {});
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
	return had_memory(uffd->copy(memory.unit_at(0), source.data(), memory.unit()));
}

void first_unit_is_copied(Memory &memory)
{
	EXPECT_EQ(first_difference(memory.unit_at(0), source.data(), source.size()), source.size());
}

class FailingAllocation : public testing::TestWithParam<Case>
{
    protected:
	/// The access to fresh memory whose allocation number @p n fails, then again without.
	/// Returns whether there were that many allocations.
	bool fails_at(unsigned n)
	{
		const Case &what = GetParam();
		Memory memory(what.backing);
		what.before(memory);

		fail_.arm(n);
		const bool succeeded = what.access(memory);
		const bool failed_one = fail_.disarm();

		EXPECT_TRUE(succeeded || what.access(memory));
		what.check(memory);
		return failed_one;
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

TEST_P(FailingAllocation, LeavesTheDataRight)
{
	const Backing backing = GetParam().backing;
	const auto pool =
		is_hugetlb(backing) ? free_huge_pages(2 * default_units(backing)) : nullptr;
	const std::uint64_t unused = huge_pages();

	signal_of([] {}); // the handler's own memory is not what is to fail
	for (unsigned n = 1; n <= most_allocations; n++) {
		SCOPED_TRACE("allocation " + std::to_string(n) + " fails");
		const bool failed_one = fails_at(n);
		ASSERT_EQ(huge_pages(), unused);
		ASSERT_FALSE(HasFailure());
		if (!failed_one) {
			ASSERT_GT(n, 1U) << "nothing was allocated, so nothing was tested";
			return;
		}
	}
	FAIL() << "more than " << most_allocations << " allocations";
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

/// Whether fewer objects than @p limit are in use, some time after the last one was freed (by RCU).
bool returns_below(const std::string &cache, std::uint64_t limit)
{
	constexpr int tries = 100;
	constexpr useconds_t pause_us = 50000;
	for (int i = 0; i < tries; i++) {
		if (slab_objects(cache) < limit)
			return true;
		::usleep(pause_us);
	}
	return false;
}

// A first write allocates the anon_vma's chain, the anon_vma, page tables (unless the pages around
// it had them) and the page.
void first_writes_leak_nothing(const MemoryGroup &group)
{
	constexpr unsigned writes = 500;
	constexpr unsigned slack = writes / 2; // pages and objects that others may take meanwhile
	constexpr unsigned allocations = 3;
	FailNth fail;

	for (unsigned n = 1; n <= allocations; n++) {
		SCOPED_TRACE("allocation " + std::to_string(n) + " fails");
		const auto pages = group.user_pages();
		const auto anon_vmas = slab_objects("anon_vma");
		const auto chains = slab_objects("anon_vma_chain");
		unsigned failed = 0;
		for (unsigned i = 0; i < writes; i++) {
			const Mapping map(MapRequest{.bytes = page_bytes()});
			fail.arm(n);
			store(map.data(), written);
			failed += fail.disarm() ? 1 : 0;
			ASSERT_EQ(load(map.data()), written);
		}
		ASSERT_GE(failed, writes - slack);
		EXPECT_LT(group.user_pages(), pages + slack);
		EXPECT_TRUE(returns_below("anon_vma", anon_vmas + slack));
		EXPECT_TRUE(returns_below("anon_vma_chain", chains + slack));
	}
}

TEST(FailNth, FirstWritesLeakNothing)
{
	constexpr std::uint64_t most_bytes = std::uint64_t{512} << 20;
	const MemoryGroup group(most_bytes);
	EXPECT_TRUE(passes_in_child([&] {
		group.enter();
		first_writes_leak_nothing(group);
	}));
}

INSTANTIATE_TEST_SUITE_P(
	FailNth, FailingAllocation,
	testing::Values(Case{"first_write_anon", Backing::anon, no_preparation, write_first_byte,
			     first_byte_is_written},
			Case{"first_write_memfd_private", Backing::memfd_private, no_preparation,
			     write_first_byte, first_byte_is_written},
			Case{"first_write_disk_private", Backing::disk_private, no_preparation,
			     write_first_byte, first_byte_is_written},
			Case{"first_write_thp", Backing::thp, no_preparation, write_first_byte,
			     first_byte_is_written},
			Case{"first_write_mthp", Backing::mthp, no_preparation, write_first_byte,
			     first_byte_is_written},
			Case{"first_write_hugetlb_private", Backing::hugetlb_private,
			     no_preparation, write_first_byte, first_byte_is_written},
			Case{"first_write_hugetlb_memfd_private", Backing::hugetlb_memfd_private,
			     no_preparation, write_first_byte, first_byte_is_written},
			Case{"write_after_read_thp", Backing::thp, read_before, write_first_byte,
			     first_byte_is_written},
			Case{"write_after_read_anon", Backing::anon, read_before, write_first_byte,
			     first_byte_is_written},
			Case{"first_read_thp", Backing::thp, no_preparation, read_first_byte,
			     nothing_is_written},
			Case{"first_read_hugetlb_private", Backing::hugetlb_private, no_preparation,
			     read_first_byte, nothing_is_written},
			Case{"uffd_copy_fresh_anon", Backing::anon, watch, uffd_copy,
			     first_unit_is_copied},
			Case{"guard_install_fresh_anon", Backing::anon, needs_guard_regions,
			     install_guard, second_unit_is_guarded}),
	[](const testing::TestParamInfo<Case> &info) { return info.param.name; });

} // namespace

} // namespace pvl
