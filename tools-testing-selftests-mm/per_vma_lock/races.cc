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
#include <chrono>
#include <csignal>
#include <functional>
#include <iostream>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support/error.h"
#include "support/event_counter.h"
#include "support/memory.h"
#include "support/race.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/signals.h"
#include "support/smaps.h"
#include "support/story.h"
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

/// Puts fresh private anonymous memory where @p start is: a VMA without anon_vma, unless it merges.
void renew(std::uint8_t *start, std::size_t bytes, int flags = 0)
{
	if (::mmap(start, bytes, read_write, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1,
		   0) == MAP_FAILED)
		throw_errno("mmap");
}

/// mprotect(2) of a page. Throws Skip where memory cannot be writable and executable.
void protect_page(std::uint8_t *page, int prot)
{
	supported(::mprotect(page, page_bytes(), prot), "mprotect");
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
	/// Pages that are mapped anew get the mmap flags @p renew_flags, too.
	Owned(const Mapping &map, std::size_t writer, std::size_t writers, int renew_flags)
		: map_(map), first_(writer), step_(writers), renew_flags_(renew_flags),
		  values_(map.size() / page_bytes() / writers)
	{
	}

	/// Checks one of the pages and writes something new to it; at random it drops the page or
	/// maps it anew before that, or instead.
	void visit(Random &random)
	{
		const std::size_t index = random.below(values_.size());
		std::uint8_t *page = map_.at((first_ + index * step_) * page_bytes());
		ASSERT_EQ(load(page), values_[index]);
		if (random.one_in(2)) {
			if (random.one_in(2))
				checked(::madvise(page, page_bytes(), MADV_DONTNEED),
					"MADV_DONTNEED");
			else
				renew(page, page_bytes(), renew_flags_);
			values_[index] = 0;
			if (random.one_in(2))
				return; // the next visit reads first
		}
		values_[index] = random.byte();
		store(page, values_[index]);
	}

    private:
	const Mapping &map_;
	std::size_t first_;
	std::size_t step_;
	int renew_flags_;
	std::vector<std::uint8_t> values_;
};

enum class Renewed { merges, stays_apart };

/// Adds two writers, with every other page each. What they map anew @p renewed with the pages
/// beside it.
void add_writers(Race &race, const Mapping &map, Renewed renewed = Renewed::stays_apart)
{
	for (std::size_t i = 0; i < 2; i++) {
		// VMAs with and without VM_NORESERVE do not merge.
		const int flags = i != 0 && renewed == Renewed::stays_apart ? MAP_NORESERVE : 0;
		auto owned = std::make_shared<Owned>(map, i, 2, flags);
		race.add([owned](Random &random) { owned->visit(random); });
	}
}

/// Two writers meet before each write, so that they find no anon_vma both.
TEST(Race, FirstWritesToOneFreshVma)
{
	constexpr std::size_t writers = 2;
	constexpr std::uint64_t rounds = 400;
	constexpr std::uint64_t spins_at_once = 100000; // a few faults' time
	constexpr std::chrono::seconds patience(10);	// until the other writer has failed
	std::optional<Mapping> map;
	std::atomic<std::uint64_t> arrived{0};
	const auto meet = [&] { // spins: to be woken takes longer than a fault
		const std::uint64_t all = (arrived++ / writers + 1) * writers;
		const auto end = std::chrono::steady_clock::now() + patience;
		for (std::uint64_t spins = 1; arrived < all; spins++) {
			if (spins % spins_at_once != 0)
				continue;
			ASSERT_LT(std::chrono::steady_clock::now(), end)
				<< "the other writer is gone";
			std::this_thread::yield();
		}
	};
	Race race;

	for (std::size_t i = 0; i < writers; i++)
		race.add([&, i](Random &random) {
			if (i == 0)
				map.emplace(map_pages(writers));
			meet();
			write_and_check(map->at(i * page_bytes()), random);
			meet();
		});
	race.run_times(session().scaled(rounds));
}

/// Why this user or kernel cannot count LockEvents; empty: it can.
std::string uncountable()
{
	try {
		const LockCounter counter;
		return "";
	} catch (const Skip &skip) {
		return skip.what();
	}
}

/// Does @p access, which needs an anon_vma, in fresh memory again and again while another thread
/// keeps the mmap_lock busy, until tries for the mmap_lock failed in @p wanted of them (scaled by
/// --scale). Each of these is shown to @p judge, which may be empty. @p before makes the memory
/// ready. Throws Skip if that takes too long, and at the end if these cannot be counted.
void race_beside_mprotect_storm(Backing backing,
				const std::function<void(Memory &, Random &)> &access,
				const std::function<void(Memory &, const LockEvents &)> &judge = {},
				std::uint64_t wanted = 10, const Step &before = nothing)
{
	using Clock = std::chrono::steady_clock;
	const std::string why_not = uncountable();
	const std::uint64_t enough = why_not.empty() ? session().scaled(wanted) : 0;
	const auto start = Clock::now();
	const auto earliest_end = start + std::chrono::milliseconds(session().scaled(1000));
	const auto latest_end = start + std::chrono::seconds(5); // also on a slow kernel
	// Holds the settings, and enough huge pages, for the Memory of every step.
	const Memory settings(backing, read_write, 4);
	const Mapping storm_map = map_pages(2);
	std::optional<LockCounter> counter;
	std::atomic<std::uint64_t> accesses{0};
	std::atomic<std::uint64_t> contended{0};
	Race race;

	race.add([&](Random &random) {
		Memory memory(backing, read_write, 1);
		before(memory);
		accesses++;
		if (!why_not.empty()) {
			access(memory, random);
			return;
		}
		if (!counter)
			counter.emplace();
		const LockEvents seen = counter->measure([&] { access(memory, random); });
		if (seen.failed_locks == 0)
			return;
		contended++;
		if (judge)
			judge(memory, seen);
	});
	race.add([&](Random &random) {
		const int prot = random.one_in(2) ? PROT_READ : read_write;
		checked(::mprotect(storm_map.data(), page_bytes(), prot), "mprotect");
	});
	race.run_until([&](std::uint64_t) {
		return Clock::now() >= (contended >= enough ? earliest_end : latest_end);
	});
	if (!why_not.empty())
		throw Skip(why_not);
	const std::string result = "trylocks failed in " + std::to_string(contended) + " of " +
				   std::to_string(accesses) + " accesses";
	std::cout << "# " << result << std::endl;
	if (!testing::Test::HasFailure() && contended < enough)
		throw Skip(result);
}

TEST(Race, FirstWritesBesideMprotectStorm)
{
	race_beside_mprotect_storm(Backing::anon, [](Memory &memory, Random &random) {
		write_and_check(memory.unit_at(0), random);
	});
}

TEST(Race, HugetlbFirstWritesBesideMprotectStorm)
{
	race_beside_mprotect_storm(Backing::hugetlb_private, [](Memory &memory, Random &random) {
		write_and_check(memory.unit_at(0), random);
	});
}

TEST(Race, HugetlbReadsOfHolesBesideMprotectStorm)
{
	race_beside_mprotect_storm(Backing::hugetlb_private, [](Memory &memory, Random &random) {
		EXPECT_EQ(load(memory.unit_at(0) + random.below(memory.unit())), 0);
	});
}

/// Cuts the mapped page out of the file, and adds one behind the mapping: that a read has to
/// allocate is not known before its place in the page cache was looked at.
void punch_beside_cached_page(Memory &memory)
{
	const auto unit = static_cast<off_t>(memory.unit());
	checked(::ftruncate(memory.fd(), 0), "ftruncate");
	checked(::fallocate(memory.fd(), 0, unit, unit), "fallocate");
}

/// Where the fault that has to wait for the mmap_lock holds the fault mutex: it leaves without
/// unlocking the hugetlb VMA lock twice, or munmap() would wait for that forever.
TEST(Race, HugetlbReadsOfHolesBesideCachedPagesBesideMprotectStorm)
{
	race_beside_mprotect_storm(
		Backing::hugetlb_memfd_private,
		[](Memory &memory, Random &random) {
			EXPECT_EQ(load(memory.unit_at(0) + random.below(memory.unit())), 0);
			write_and_check(memory.unit_at(0), random);
		},
		{}, 5, punch_beside_cached_page);
}

TEST(Race, HugePageReadsThenWritesBesideMprotectStorm)
{
	const SettingGuard no_zero_page(use_zero_page, "0");
	race_beside_mprotect_storm(Backing::thp, [](Memory &memory, Random &random) {
		EXPECT_EQ(load(memory.unit_at(0)), 0);
		write_and_check(memory.unit_at(0), random);
	});
}

/// A write to the huge zero folio that has to wait for the mmap_lock prepares the anon_vma under
/// it, and no more: it faults again, and copies the huge folio under the VMA lock.
TEST(Race, HugeZeroFolioReadsThenWritesBesideMprotectStorm)
{
	const SettingGuard zero_page(use_zero_page, "1");
	const Expect judged = session().judged();
	const std::uint64_t faults = judged == Expect::mainline ? 2 : 3;
	std::atomic<std::uint64_t> huge{0};
	std::atomic<std::uint64_t> refaulted{0};

	race_beside_mprotect_storm(
		Backing::thp,
		[](Memory &memory, Random &random) {
			EXPECT_EQ(load(memory.unit_at(0)), 0);
			write_and_check(memory.unit_at(0), random);
		},
		[&](Memory &memory, const LockEvents &seen) {
			if (!is_large_folio(memory.unit_at(0), memory.unit()))
				return;
			huge++;
			refaulted += seen.page_faults == 3 ? 1 : 0;
			if (judged != Expect::automatic) {
				EXPECT_EQ(seen.page_faults, faults);
			}
		},
		5);
	if (huge == 0)
		throw Skip("this kernel splits the huge zero folio");
	std::cout << "# refaulted " << refaulted << " of " << huge << " verdict "
		  << (refaulted == huge ? "patched"
		      : refaulted == 0	? "mainline"
					: "other")
		  << std::endl;
	if (judged == Expect::automatic)
		throw Skip("series not applied");
}

TEST(Race, UserfaultfdCopyBesideMprotectStorm)
{
	const std::vector<std::uint8_t> source(page_bytes(), 0x5a);
	race_beside_mprotect_storm(Backing::anon, [&](Memory &memory, Random &) {
		const Userfault uffd;
		uffd.watch(memory.unit_at(0), memory.unit(), UFFDIO_REGISTER_MODE_MISSING);
		ASSERT_EQ(uffd.copy(memory.unit_at(0), source.data(), memory.unit()), 0);
		EXPECT_EQ(first_difference(memory.unit_at(0), source.data(), memory.unit()),
			  memory.unit());
	});
}

TEST(Race, GuardInstallBesideMprotectStorm)
{
	race_beside_mprotect_storm(Backing::anon, [](Memory &memory, Random &) {
		std::uint8_t *page = memory.unit_at(0);
		supported(::madvise(page, memory.unit(), uapi::madv_guard_install),
			  "MADV_GUARD_INSTALL");
		const auto caught = signal_of([=] { load(page); });
		ASSERT_TRUE(caught) << "no guard region";
		EXPECT_EQ(caught->number, SIGSEGV);
		EXPECT_EQ(caught->code, SEGV_MAPERR);
		EXPECT_EQ(caught->address, page);
	});
}

TEST(Race, NeighboursThatShareAnAnonVma)
{
	constexpr std::size_t pages = 16;
	const Mapping map = map_pages(pages);
	Race race;

	add_writers(race, map, Renewed::merges);
	race.add([&](Random &random) { // splits and merges, never takes a permission away
		const int prot = random.one_in(2) ? read_write : read_write | PROT_EXEC;
		protect_page(map.at(random.below(pages) * page_bytes()), prot);
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
			protect_page(map.at(i * page_bytes()), read_write | PROT_EXEC);
		Race race;
		add_writers(race, map, Renewed::merges);
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

/// What was written is found as long as its page is not dropped, and never after that.
TEST(Race, BesideMunmapAndMmap)
{
	constexpr std::size_t pages = 4;
	struct Page {
		std::atomic<std::uint64_t> drops{0}; ///< begun ones plus ended ones
		std::uint8_t value = 0;		     ///< what its writer left
		std::uint64_t drops_before = 0;	     ///< when it began to write that
		std::uint64_t drops_after = 0;	     ///< when it had
	};
	const Mapping map = map_pages(pages);
	std::array<Page, pages> all;
	Race race;

	for (std::size_t i = 0; i < 2; i++)
		race.add([&, i](Random &random) {
			const std::size_t index = i + 2 * random.below(pages / 2);
			Page &page = all.at(index);
			std::uint8_t *target = map.at(index * page_bytes());
			const std::uint8_t next = random.byte();
			const std::uint64_t start = page.drops;
			std::uint8_t now = 0;
			const auto signal = signal_of([&] {
				now = load(target);
				store(target, next);
			});
			const std::uint64_t end = page.drops;
			const bool kept = page.drops_before % 2 == 0 && page.drops_before == end;
			const bool lost = start >= page.drops_after + 3; // all of one was after it
			EXPECT_TRUE((now == page.value && !lost) || (now == 0 && !kept))
				<< unsigned{now} << ", written " << unsigned{page.value};
			page.value = signal ? 0 : next;
			page.drops_before = signal ? 1 : start;
			page.drops_after = end;
			if (!signal)
				return;
			EXPECT_FALSE(kept);
			EXPECT_EQ(signal->number, SIGSEGV);
			EXPECT_EQ(signal->code, SEGV_MAPERR);
			EXPECT_EQ(signal->address, target);
		});
	race.add([&](Random &random) {
		const std::size_t index = random.below(pages);
		std::uint8_t *target = map.at(index * page_bytes());
		all.at(index).drops++;
		if (random.one_in(2))
			checked(::munmap(target, page_bytes()), "munmap");
		else
			renew(target, page_bytes());
		all.at(index).drops++;
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
		supported(::mremap(map.data(), bytes, bytes,
				   MREMAP_MAYMOVE | MREMAP_FIXED | uapi::mremap_dontunmap,
				   away.data()),
			  "MREMAP_DONTUNMAP");
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

	add_writers(race, map);
	race.add([&](Random &random) {
		std::uint8_t *target = map.at(random.below(pages) * page_bytes());
		const pid_t pid = checked(::fork(), "fork");
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

	add_writers(race, map); // on their own pages nothing may be lost
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
			if (signal) { // a guard region
				EXPECT_EQ(signal->number, SIGSEGV);
				EXPECT_EQ(signal->code, SEGV_MAPERR);
				EXPECT_EQ(signal->address, target);
			}
		});
	race.add([&](Random &random) {
		constexpr std::array advices{MADV_DONTNEED, uapi::madv_free,
					     uapi::madv_guard_install, uapi::madv_guard_remove};
		if (random.one_in(advices.size()))
			renew(map.data(), map.size());
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
	const std::jthread server([&](const std::stop_token &stop) {
		constexpr int patience_ms = 10;
		while (!stop.stop_requested()) {
			const std::uintptr_t fault = uffd.next_fault(patience_ms);
			auto *page = reinterpret_cast<void *>(fault & ~(page_bytes() - 1));
			// EEXIST, ENOENT: somebody was faster. UFFDIO_UNREGISTER wakes who waits
			// before it waits for the VMA lock: a fault may have come between.
			if (fault != 0 && uffd.zeropage(page, page_bytes()) != 0)
				EXPECT_EQ(uffd.wake(page, page_bytes()), 0);
		}
	});
	Race race;

	add_writers(race, map);
	race.add([&](Random &random) {
		if (random.one_in(2))
			uffd.watch(map.data(), map.size(), UFFDIO_REGISTER_MODE_MISSING);
		else
			EXPECT_EQ(uffd.unwatch(map.data(), map.size()), 0);
	});
	race.run();
}

TEST(Race, ExitWhileThreadsFault)
{
	constexpr std::uint64_t rounds = 20;
	constexpr std::size_t pages = 64;
	constexpr int threads = 2;
	constexpr useconds_t longest_us = 3000;
	std::cout << "# race: --seed=" << session().seed << std::endl;
	Random random(session().seed, 0);
	const Mapping shared = map_pages(1, MAP_SHARED | MAP_ANONYMOUS);
	auto *faulting = new (shared.data()) std::atomic<int>(0);

	for (std::uint64_t round = 0; round < session().scaled(rounds); round++) {
		*faulting = 0;
		const pid_t pid = checked(::fork(), "fork");
		if (pid == 0) {
			const auto write_all = [=] {
				for (bool first = true;; first = false) {
					const Mapping map = map_pages(pages);
					for (std::size_t i = 0; i < pages; i++)
						store(map.at(i * page_bytes()), 1);
					*faulting += first ? 1 : 0;
				}
			};
			[[maybe_unused]] const std::array<std::jthread, threads> forever{
				std::jthread(write_all), std::jthread(write_all)};
			::pause();
			::_exit(0);
		}
		int status = 0;
		while (*faulting != threads) {
			ASSERT_EQ(::waitpid(pid, &status, WNOHANG), 0) << "ended too early";
			::usleep(100);
		}
		::usleep(static_cast<useconds_t>(random.below(longest_us)));
		checked(::kill(pid, SIGKILL), "kill");
		ASSERT_EQ(::waitpid(pid, &status, 0), pid);
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
}

TEST(ThpRace, ReadsAndWritesWhileSettingsFlip)
{
	const Memory needed(Backing::thp);
	SettingGuard zero_page(use_zero_page, "1");
	SettingGuard enabled("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	MapRequest request;
	request.bytes = request.alignment = needed.unit();
	Race race;

	for (int thread = 0; thread < 2; thread++)
		race.add([&](Random &random) {
			const Mapping fresh(request);
			checked(::madvise(fresh.data(), fresh.size(), uapi::madv_hugepage),
				"MADV_HUGEPAGE");
			const std::size_t at = random.below(fresh.size());
			if (random.one_in(2)) {
				EXPECT_EQ(load(fresh.at(at)), 0);
			}
			write_and_check(fresh.at(at), random);
			EXPECT_EQ(load(fresh.at(at ^ page_bytes())), 0);
		});
	race.add([&](Random &random) {
		zero_page.set(random.one_in(2) ? "0" : "1");
		enabled.set(random.one_in(2) ? "never" : "madvise");
	});
	race.run();
}

TEST(ThpRace, FirstReadThenWriteByTwoThreads)
{
	constexpr std::uint64_t rounds = 30;
	for (std::uint64_t round = 0; round < session().scaled(rounds); round++) {
		const Memory memory(Backing::thp, read_write, 2);
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

/// hugetlb memory, and a pool with no more free pages than it may need at once.
class HugetlbRace : public testing::Test
{
    protected:
	static constexpr std::size_t pages = 4;

	/// Makes exactly @p free huge pages free and unreserved while the test runs. Throws Skip,
	/// also where so many more are free that the machine may need them.
	void size_pool(std::size_t free)
	{
		constexpr std::uint64_t most_taken = 64;
		if (available() > free + most_taken)
			throw Skip(std::to_string(available()) +
				   " free huge pages are too many to take them away");
		no_surplus_ =
			setting_among(huge_page_setting("nr_overcommit_hugepages"), {"0"}, "0");
		pool_ = huge_page_pool(meminfo("HugePages_Total") - available() + free);
		if (available() != free)
			throw Skip("cannot have exactly " + std::to_string(free) +
				   " free huge pages");
	}

	static std::uint64_t available()
	{
		return meminfo("HugePages_Free") - meminfo("HugePages_Rsvd");
	}

	/// @p count pages, of a file those from @p first on.
	[[nodiscard]] Mapping map(int flags, int fd = -1, std::size_t first = 0,
				  std::size_t count = pages) const
	{
		MapRequest request;
		request.bytes = count * bytes_;
		request.offset = static_cast<off_t>(first * bytes_);
		request.alignment = bytes_;
		request.flags = flags | MAP_HUGETLB;
		request.fd = fd;
		return Mapping(request);
	}

	/// A file of holes. Throws Skip without hugetlb memfds.
	[[nodiscard]] Fd holes() const
	{
		Fd file(::memfd_create("per_vma_lock", MFD_CLOEXEC | MFD_HUGETLB));
		if (!file)
			throw Skip("no hugetlb memfd");
		checked(::ftruncate(file.get(), static_cast<off_t>(pages * bytes_)), "ftruncate");
		return file;
	}

	/// Makes pages of @p file holes: at random half of them, from the page @p first on, are
	/// punched out, or the second half is cut off and added again.
	void drop(const Fd &file, std::size_t first, Random &random) const
	{
		const auto half = static_cast<off_t>(pages / 2 * bytes_);
		if (random.one_in(2)) {
			checked(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					    static_cast<off_t>(first * bytes_), half),
				"fallocate");
			return;
		}
		checked(::ftruncate(file.get(), half), "ftruncate");
		checked(::ftruncate(file.get(), 2 * half), "ftruncate");
	}

	std::unique_ptr<SettingGuard> no_surplus_;
	std::unique_ptr<SettingGuard> pool_;
	std::size_t bytes_ = huge_page_bytes();
};

TEST_F(HugetlbRace, PrivateReadsAndWritesOfTheSamePages)
{
	constexpr std::uint64_t rounds = 10;
	size_pool(pages);
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
		if (HasFailure())
			return;
	}
	EXPECT_EQ(meminfo("HugePages_Rsvd"), reserved);
	EXPECT_EQ(meminfo("HugePages_Free"), free);
}

TEST_F(HugetlbRace, BesideTruncateAndHolePunch)
{
	constexpr std::size_t kept = pages / 2; // the smallest size the file has
	size_pool(pages + kept); // pages of a hole are freed some time after they left the file
	const std::uint64_t reserved = meminfo("HugePages_Rsvd");
	const std::uint64_t free = meminfo("HugePages_Free");
	{
		const Fd file = holes();
		const Mapping shared = map(MAP_SHARED, file.get());
		Race race;

		// Not a private mapping: hugetlb_unmap_file_folio() takes the resv_map of one
		// for a hugetlb_vma_lock when it is contended (7.3, with and without the series).
		for (int thread = 0; thread < 2; thread++)
			race.add([&](Random &random) {
				const std::size_t page = random.below(pages);
				std::uint8_t *target = shared.at(page * bytes_);
				const bool write = random.one_in(2);
				const auto signal = signal_of([=] {
					if (write)
						store(target, 3);
					else
						load(target);
				});
				if (signal) { // beyond the end of the file
					EXPECT_EQ(signal->number, SIGBUS);
					EXPECT_EQ(signal->code, BUS_ADRERR);
					EXPECT_EQ(signal->address, target);
					EXPECT_GE(page, kept);
				}
			});
		race.add([&](Random &random) { drop(file, 0, random); });
		race.run();
	}
	EXPECT_EQ(meminfo("HugePages_Rsvd"), reserved);
	EXPECT_EQ(meminfo("HugePages_Free"), free);
}

/// The page cache is empty when a private fault begins, and not when it looks for its page, or the
/// other way round. The pages that are mapped privately always are holes: see above.
TEST_F(HugetlbRace, PrivateHolesBesidePagesThatComeAndGo)
{
	constexpr std::size_t half = pages / 2;
	constexpr std::size_t readers = 2; // they wait for each other's fault mutex
	size_pool((readers + 1) * half);
	const std::uint64_t reserved = meminfo("HugePages_Rsvd");
	const std::uint64_t free = meminfo("HugePages_Free");
	{
		const Fd file = holes();
		const Mapping shared = map(MAP_SHARED, file.get(), half, half);
		Race race;

		for (std::size_t i = 0; i < readers; i++)
			race.add([&](Random &random) {
				const Mapping mine = map(MAP_PRIVATE, file.get(), 0, half);
				std::array<std::uint8_t, half> values{};
				for (std::size_t access = 0; access < 2 * half; access++) {
					const std::size_t page = random.below(half);
					std::uint8_t *target = mine.at(page * bytes_);
					if (random.one_in(3)) {
						values.at(page) = random.byte();
						store(target, values.at(page));
					}
					EXPECT_EQ(load(target), values.at(page));
				}
			});
		race.add([&](Random &random) {
			for (std::size_t page = random.below(half); page < half; page++) {
				std::uint8_t *target = shared.at(page * bytes_);
				EXPECT_EQ(load(target), 0);
				write_and_check(target, random);
			}
			drop(file, half, random);
		});
		try {
			race.run();
		} catch (const Skip &skip) { // no mapping may fail
			ADD_FAILURE() << skip.what();
		}
	}
	EXPECT_EQ(meminfo("HugePages_Rsvd"), reserved);
	EXPECT_EQ(meminfo("HugePages_Free"), free);
}

} // namespace

} // namespace pvl
