// SPDX-License-Identifier: GPL-2.0
//
// Faults beside everything that changes VMAs under them. Every writer owns its pages and compares
// them with what it wrote last.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/child.h"
#include "support/error.h"
#include "support/event_counter.h"
#include "support/memory.h"
#include "support/race.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/signals.h"
#include "support/uapi.h"
#include "support/userfault.h"

namespace pvl
{

namespace
{

constexpr int read_write = PROT_READ | PROT_WRITE;

Mapping map_pages(std::size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS)
{
	MapRequest request;
	request.bytes = pages * page_bytes();
	request.flags = flags;
	return Mapping(request);
}

/// Writes a random byte to @p target and reads it back at once.
void write_and_check(std::uint8_t *target, Random &random)
{
	const std::uint8_t value = random.byte();
	store(target, value);
	EXPECT_EQ(load(target), value);
}

/// Pages of @p map that writer number @p writer of @p writers owns, and what it wrote to them.
class Owned
{
    public:
	Owned(const Mapping &map, std::size_t writer, std::size_t writers)
		: map_(map), first_(writer), step_(writers),
		  values_(map.size() / page_bytes() / writers)
	{
	}

	/// Checks one of the pages and writes something new to it.
	void visit(Random &random)
	{
		const std::size_t index = random.below(values_.size());
		std::uint8_t *page = map_.at((first_ + index * step_) * page_bytes());
		ASSERT_EQ(load(page), values_[index]);
		values_[index] = random.byte();
		store(page, values_[index]);
	}

	/// Forgets: all pages are zero again.
	void cleared()
	{
		std::fill(values_.begin(), values_.end(), std::uint8_t{0});
	}

    private:
	const Mapping &map_;
	std::size_t first_;
	std::size_t step_;
	std::vector<std::uint8_t> values_;
};

/// Adds @p count writers, each with pages of its own.
void add_writers(Race &race, const Mapping &map, std::size_t count)
{
	for (std::size_t i = 0; i < count; i++) {
		auto owned = std::make_shared<Owned>(map, i, count);
		race.add([owned](Random &random) { owned->visit(random); });
	}
}

TEST(Race, FirstWritesToOneFreshVma)
{
	constexpr std::size_t writers = 4;
	constexpr std::uint64_t rounds = 40;

	for (std::uint64_t round = 0; round < session().scaled(rounds); round++) {
		const Mapping map = map_pages(writers);
		Race race;
		for (std::size_t i = 0; i < writers; i++)
			race.add([&, i](Random &random) {
				write_and_check(map.at(i * page_bytes()), random);
			});
		race.run_times(1);
		if (HasFailure())
			return;
	}
}

TEST(Race, FirstWritesBesideMprotectStorm)
{
	constexpr std::size_t vmas = 256;
	const Mapping storm_map = map_pages(2);
	std::atomic<std::uint64_t> faults{0};
	std::atomic<std::uint64_t> failed{0};
	Race race;

	std::vector<Mapping> fresh;
	for (std::size_t i = 0; i < vmas; i++)
		fresh.push_back(map_pages(1));
	race.add([&](Random &random) {
		try {
			LockCounter counter;
			const LockEvents seen = counter.measure([&] {
				for (const Mapping &map : fresh)
					write_and_check(map.data(), random);
			});
			failed += seen.failed_locks;
		} catch (const Skip &) { // cannot count: the data is checked all the same
			for (const Mapping &map : fresh)
				write_and_check(map.data(), random);
		}
		faults += vmas;
		for (Mapping &map : fresh) // an anon_vma stays until the VMA goes
			map = map_pages(1);
	});
	race.add([&](Random &random) {
		const int prot = random.one_in(2) ? PROT_READ : read_write;
		checked(::mprotect(storm_map.data(), page_bytes(), prot), "mprotect");
	});
	race.run();
	std::cout << "# first writes " << faults << " failed trylocks " << failed << std::endl;
}

TEST(Race, NeighboursThatShareAnAnonVma)
{
	constexpr std::size_t pages = 16;
	const Mapping map = map_pages(pages);
	Race race;

	add_writers(race, map, 2);
	race.add([&](Random &random) { // splits and merges, never takes a permission away
		const int prot = random.one_in(2) ? read_write : read_write | PROT_EXEC;
		if (::mprotect(map.at(random.below(pages) * page_bytes()), page_bytes(), prot) != 0)
			throw Skip("no writable and executable memory here");
	});
	race.run();
}

TEST(Race, FreshNeighboursGetTheirAnonVmasAtOnce)
{
	constexpr std::size_t pages = 8;
	constexpr std::uint64_t rounds = 40;

	for (std::uint64_t round = 0; round < session().scaled(rounds); round++) {
		const Mapping map = map_pages(pages);
		for (std::size_t i = 0; i < pages; i += 2) // alternate: eight VMAs
			if (::mprotect(map.at(i * page_bytes()), page_bytes(),
				       read_write | PROT_EXEC) != 0)
				throw Skip("no writable and executable memory here");
		Race race;
		add_writers(race, map, 2);
		race.add([&](Random &random) { // merges all or some of them
			checked(::mprotect(map.data(), (1 + random.below(pages)) * page_bytes(),
					   read_write),
				"mprotect");
		});
		race.run_times(pages);
		if (HasFailure())
			return;
	}
}

TEST(Race, BesideMunmapAndMmap)
{
	constexpr std::size_t pages = 4;
	const Mapping map = map_pages(pages);
	Race race;

	for (int i = 0; i < 2; i++)
		race.add([&](Random &random) {
			std::uint8_t *target = map.at(random.below(pages) * page_bytes());
			const auto signal = signal_of([=] { store(target, 1); });
			if (!signal)
				return;
			EXPECT_EQ(signal->number, SIGSEGV);
			EXPECT_EQ(signal->address, target);
		});
	race.add([&](Random &random) {
		std::uint8_t *target = map.at(random.below(pages) * page_bytes());
		if (random.one_in(2)) {
			checked(::munmap(target, page_bytes()), "munmap");
		} else if (::mmap(target, page_bytes(), read_write,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
			throw_errno("mmap");
		}
	});
	race.run();
}

TEST(Race, BesideMremapDontunmap)
{
	constexpr std::size_t pages = 4;
	const Mapping map = map_pages(pages);
	const Mapping away = map_pages(pages);
	Race race;

	for (int i = 0; i < 2; i++)
		race.add([&](Random &random) {
			// The page may move away between the store and the load.
			std::uint8_t *target = map.at(random.below(pages) * page_bytes());
			store(target, 7);
			const std::uint8_t now = load(target);
			EXPECT_TRUE(now == 7 || now == 0) << unsigned{now};
		});
	race.add([&](Random &) {
		const std::size_t bytes = map.size();
		if (::mremap(map.data(), bytes, bytes,
			     MREMAP_MAYMOVE | MREMAP_FIXED | uapi::mremap_dontunmap,
			     away.data()) == MAP_FAILED)
			throw Skip("no MREMAP_DONTUNMAP");
		for (std::size_t i = 0; i < pages; i++) {
			const std::uint8_t moved = load(away.at(i * page_bytes()));
			EXPECT_TRUE(moved == 7 || moved == 0) << unsigned{moved};
		}
	});
	race.run();
}

TEST(Race, BesideFork)
{
	constexpr std::size_t pages = 32;
	const Mapping map = map_pages(pages);
	Race race;

	add_writers(race, map, 2);
	race.add([&](Random &random) {
		std::uint8_t *target = map.at(random.below(pages) * page_bytes());
		const pid_t pid = ::fork();
		if (pid == 0) { // only plain accesses here: other threads held locks
			const std::uint8_t value = load(target);
			store(target, static_cast<std::uint8_t>(value + 1));
			::_exit(load(target) == static_cast<std::uint8_t>(value + 1) ? 0 : 1);
		}
		int status = 0;
		ASSERT_EQ(::waitpid(pid, &status, 0), pid);
		EXPECT_EQ(status, 0) << "a forked child lost what it wrote";
	});
	race.run();
}

TEST(Race, BesideMadvise)
{
	constexpr std::size_t pages = 16;
	const Mapping map = map_pages(pages);
	Race race;

	add_writers(race, map, 2); // on their own pages nothing may be lost
	race.add([&](Random &random) {
		constexpr std::array advices{uapi::madv_cold, uapi::madv_pageout,
					     uapi::madv_populate_read, uapi::madv_populate_write};
		::madvise(map.data(), map.size(), advices.at(random.below(advices.size())));
	});
	race.run();
}

TEST(Race, BesideDontneedAndGuardRegions)
{
	constexpr std::size_t pages = 4;
	const Mapping map = map_pages(pages);
	Race race;

	for (int i = 0; i < 2; i++)
		race.add([&](Random &random) {
			std::uint8_t *target = map.at(random.below(pages) * page_bytes());
			std::uint8_t now = 9;
			const auto signal = signal_of([&] {
				store(target, 9);
				now = load(target);
			});
			EXPECT_TRUE(now == 9 || now == 0) << unsigned{now};
			if (signal) {
				EXPECT_EQ(signal->number, SIGSEGV); // a guard region
			}
		});
	race.add([&](Random &random) {
		constexpr std::array advices{MADV_DONTNEED, uapi::madv_free,
					     uapi::madv_guard_install, uapi::madv_guard_remove};
		::madvise(map.at(random.below(pages) * page_bytes()), page_bytes(),
			  advices.at(random.below(advices.size())));
	});
	race.run();
}

TEST(Race, BesideUserfaultfdRegisterAndUnregister)
{
	constexpr std::size_t pages = 16;
	const Mapping map = map_pages(pages);
	const Userfault uffd;
	std::atomic<bool> over{false};
	std::jthread server([&] {
		constexpr int patience_ms = 10;
		while (!over) {
			const std::uintptr_t fault = uffd.next_fault(patience_ms);
			if (fault != 0) // EEXIST, ENOENT: somebody was faster
				static_cast<void>(uffd.zeropage(
					reinterpret_cast<void *>(fault & ~(page_bytes() - 1)),
					page_bytes()));
		}
	});
	Race race;

	add_writers(race, map, 2);
	race.add([&](Random &random) {
		if (random.one_in(2))
			uffd.watch(map.data(), map.size(), UFFDIO_REGISTER_MODE_MISSING);
		else
			EXPECT_EQ(uffd.unwatch(map.data(), map.size()), 0);
	});
	race.run();
	over = true;
}

TEST(Race, ExitWhileThreadsFault)
{
	constexpr std::uint64_t rounds = 20;
	constexpr std::size_t pages = 64;
	constexpr useconds_t longest_us = 3000;
	Random random(session().seed, 0);

	for (std::uint64_t round = 0; round < session().scaled(rounds); round++) {
		const pid_t pid = ::fork();
		ASSERT_GE(pid, 0);
		if (pid == 0) {
			const auto write_all = [] {
				for (;;) {
					const Mapping map = map_pages(pages);
					for (std::size_t i = 0; i < pages; i++)
						store(map.at(i * page_bytes()), 1);
				}
			};
			std::jthread first(write_all);
			std::jthread second(write_all);
			::pause();
			::_exit(0);
		}
		::usleep(static_cast<useconds_t>(random.below(longest_us)));
		::kill(pid, SIGKILL);
		int status = 0;
		ASSERT_EQ(::waitpid(pid, &status, 0), pid);
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
}

class ThpRace : public testing::Test
{
    protected:
	static constexpr const char *zero_page_file =
		"/sys/kernel/mm/transparent_hugepage/use_zero_page";
	static constexpr const char *enabled_file = "/sys/kernel/mm/transparent_hugepage/enabled";
	static constexpr std::size_t units = 4;
};

TEST_F(ThpRace, ReadsAndWritesWhileSettingsFlip)
{
	Memory memory(Backing::thp, read_write, units);
	SettingGuard zero_page(zero_page_file, "1");
	SettingGuard enabled(enabled_file, "madvise");
	Race race;

	add_writers(race, memory.map(), 2);
	race.add([&](Random &random) {
		// The last page of each unit belongs to nobody: always zero.
		const std::size_t unit = random.below(units);
		std::uint8_t *start = memory.unit_at(unit);
		EXPECT_EQ(load(start + memory.unit() - 1), 0);
	});
	race.add([&](Random &random) {
		zero_page.set(random.one_in(2) ? "0" : "1");
		enabled.set(random.one_in(2) ? "never" : "madvise");
	});
	race.run();
}

TEST_F(ThpRace, FirstReadThenWriteByTwoThreads)
{
	constexpr std::uint64_t rounds = 30;
	for (std::uint64_t round = 0; round < session().scaled(rounds); round++) {
		Memory memory(Backing::thp, read_write, 2);
		Race race;
		for (std::size_t i = 0; i < 2; i++)
			race.add([&, i](Random &random) {
				for (std::size_t unit = 0; unit < 2; unit++) {
					std::uint8_t *mine = memory.unit_at(unit) + i;
					EXPECT_EQ(load(mine), 0);
					write_and_check(mine, random);
				}
			});
		race.run_times(1);
		if (HasFailure())
			return;
	}
}

/// hugetlb memory in a pool that has exactly the pages that are needed.
class HugetlbRace : public testing::Test
{
    protected:
	static constexpr std::size_t pages = 4;

	HugetlbRace() : grown_(free_huge_pages(2 * pages)), bytes_(huge_page_bytes())
	{
	}

	[[nodiscard]] Mapping map(int flags, int fd = -1) const
	{
		MapRequest request;
		request.bytes = pages * bytes_;
		request.alignment = bytes_;
		request.flags = flags | MAP_HUGETLB;
		request.fd = fd;
		return Mapping(request);
	}

	std::unique_ptr<SettingGuard> grown_;
	std::size_t bytes_;
};

TEST_F(HugetlbRace, PrivateReadsAndWritesOfTheSamePages)
{
	constexpr std::uint64_t rounds = 10;
	const std::uint64_t reserved = meminfo("HugePages_Rsvd");
	const std::uint64_t free = meminfo("HugePages_Free");

	for (std::uint64_t round = 0; round < session().scaled(rounds); round++) {
		const Mapping memory = map(MAP_PRIVATE | MAP_ANONYMOUS);
		Race race;
		for (std::size_t i = 0; i < 3; i++)
			race.add([&, i](Random &random) {
				std::uint8_t *mine = memory.at(random.below(pages) * bytes_) + i;
				if (random.one_in(2))
					load(mine);
				else
					write_and_check(mine, random);
			});
		race.run_times(2 * pages);
	}
	EXPECT_EQ(meminfo("HugePages_Rsvd"), reserved);
	EXPECT_EQ(meminfo("HugePages_Free"), free);
}

TEST_F(HugetlbRace, BesideTruncateAndHolePunch)
{
	const std::uint64_t reserved = meminfo("HugePages_Rsvd");
	const std::uint64_t free = meminfo("HugePages_Free");
	{
		const Fd file(::memfd_create("per_vma_lock", MFD_CLOEXEC | MFD_HUGETLB));
		if (!file)
			throw Skip("no hugetlb memfd");
		const auto whole = static_cast<off_t>(pages * bytes_);
		checked(::ftruncate(file.get(), whole), "ftruncate");
		const Mapping shared = map(MAP_SHARED, file.get());
		Race race;

		// Not a private mapping: hugetlb_unmap_file_folio() takes the resv_map of one
		// for a hugetlb_vma_lock when it is contended (7.3, with and without the series).
		for (int thread = 0; thread < 2; thread++)
			race.add([&](Random &random) {
				std::uint8_t *target = shared.at(random.below(pages) * bytes_);
				const bool write = random.one_in(2);
				const auto signal = signal_of([=] {
					if (write)
						store(target, 3);
					else
						load(target);
				});
				if (signal) { // beyond the end of the file
					EXPECT_EQ(signal->number, SIGBUS);
				}
			});
		race.add([&](Random &random) {
			const auto half = static_cast<off_t>(pages / 2 * bytes_);
			if (random.one_in(2)) {
				::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					    0, half);
				return;
			}
			checked(::ftruncate(file.get(), half), "ftruncate");
			checked(::ftruncate(file.get(), whole), "ftruncate");
		});
		race.run();
	}
	EXPECT_EQ(meminfo("HugePages_Rsvd"), reserved);
	EXPECT_EQ(meminfo("HugePages_Free"), free);
}

} // namespace

} // namespace pvl
