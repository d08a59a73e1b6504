// SPDX-License-Identifier: GPL-2.0
//
// Every allocation of a first write fails once: /proc/thread-self/fail-nth makes the n-th
// allocation of the calling thread fail, for n = 1, 2, 3 and so on until the access needs no more.
// The process has to survive with the right data, by way of the mmap_lock where the VMA lock's
// attempt failed.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/memory.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/signals.h"
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
	FailNth() : fd_(::open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC))
	{
		if (!fd_)
			throw Skip(
				"no fail-nth: kernel without CONFIG_FAULT_INJECTION, or not root");
		// Let page and slab allocations fail that may sleep and retry.
		for (const char *setting :
		     {"failslab/ignore-gfp-wait", "failslab/cache-filter",
		      "fail_page_alloc/ignore-gfp-wait", "fail_page_alloc/ignore-gfp-highmem"})
			set_quietly(setting, "N");
		set_quietly("fail_page_alloc/min-order", "0");
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
	void set_quietly(const std::string &name, const std::string &value)
	{
		try {
			settings_.push_back(
				std::make_unique<SettingGuard>("/sys/kernel/debug/" + name, value));
		} catch (const Skip &) { // no debugfs: the defaults do
		}
	}

	Fd fd_;
	std::vector<std::unique_ptr<SettingGuard>> settings_;
};

struct Case {
	const char *name;
	Backing backing;
	/// Runs the access in question; returns false when it failed as it may (ENOMEM).
	bool (*access)(Memory &memory);
	std::uint8_t result; ///< of the first byte after an access that succeeded
};

// A fault without memory ends in a retry, an OOM kill or SIGBUS (hugetlb); never in wrong data.
bool write_first_byte(Memory &memory)
{
	std::uint8_t *target = memory.unit_at(0);
	return !signal_of([=] { store(target, written); });
}

bool read_first_byte(Memory &memory)
{
	std::uint8_t *target = memory.unit_at(0);
	return !signal_of([=] { load(target); });
}

bool install_guard(Memory &memory)
{
	return ::madvise(memory.unit_at(1), memory.unit(), uapi::madv_guard_install) == 0;
}

// Registered by the fixture before the failing starts.
std::unique_ptr<Userfault> uffd;
std::vector<std::uint8_t> source;

bool uffd_copy(Memory &memory)
{
	return uffd->copy(memory.unit_at(0), source.data(), memory.unit()) == 0;
}

class FailingAllocation : public testing::TestWithParam<Case>
{
};

TEST_P(FailingAllocation, LeavesTheDataRight)
{
	const Case &what = GetParam();
	const bool by_uffd = what.access == uffd_copy;
	FailNth fail;

	for (unsigned n = 1; n <= most_allocations; n++) {
		Memory memory(what.backing);
		if (by_uffd) {
			uffd = std::make_unique<Userfault>();
			source.assign(memory.unit(), written);
			uffd->watch(memory.map().data(), memory.map().size(),
				    UFFDIO_REGISTER_MODE_MISSING);
		}
		if (what.access == install_guard && !install_guard(memory))
			throw Skip("this kernel has no guard regions");
		if (what.access == install_guard)
			memory = Memory(what.backing);

		fail.arm(n);
		const bool succeeded = what.access(memory);
		const bool failed_one = fail.disarm();

		// Again without failures: whatever happened before, this has to work.
		ASSERT_TRUE(succeeded || what.access(memory)) << "after failed allocation " << n;
		ASSERT_EQ(load(memory.unit_at(0)), what.result) << "after failed allocation " << n;
		ASSERT_TRUE(memory.file_is_unchanged()) << "after failed allocation " << n;
		if (!failed_one) {
			EXPECT_GT(n, 1U) << "nothing was allocated, so nothing was tested";
			return;
		}
	}
	FAIL() << "more than " << most_allocations << " allocations";
}

INSTANTIATE_TEST_SUITE_P(
	FailNth, FailingAllocation,
	testing::Values(
		Case{"first_write_anon", Backing::anon, write_first_byte, written},
		Case{"first_write_memfd_private", Backing::memfd_private, write_first_byte,
		     written},
		Case{"first_write_disk_private", Backing::disk_private, write_first_byte, written},
		Case{"first_write_thp", Backing::thp, write_first_byte, written},
		Case{"first_write_mthp", Backing::mthp, write_first_byte, written},
		Case{"first_write_hugetlb_private", Backing::hugetlb_private, write_first_byte,
		     written},
		Case{"first_write_hugetlb_memfd_private", Backing::hugetlb_memfd_private,
		     write_first_byte, written},
		Case{"first_read_thp", Backing::thp, read_first_byte, 0},
		Case{"first_read_hugetlb_private", Backing::hugetlb_private, read_first_byte, 0},
		Case{"uffd_copy_fresh_anon", Backing::anon, uffd_copy, written},
		Case{"guard_install_fresh_anon", Backing::anon, install_guard, 0}),
	[](const testing::TestParamInfo<Case> &info) { return info.param.name; });

} // namespace

} // namespace pvl
