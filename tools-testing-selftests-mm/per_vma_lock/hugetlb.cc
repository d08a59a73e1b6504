// SPDX-License-Identifier: GPL-2.0
//
// hugetlb: reservations survive every mix of private reads and writes, and a private read never
// adds a page to the file.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "support/child.h"
#include "support/error.h"
#include "support/event_counter.h"
#include "support/memory.h"
#include "support/signals.h"
#include "support/story.h"
#include "support/uapi.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t written = 0x21;

struct Pool {
	std::uint64_t reserved = meminfo("HugePages_Rsvd");
	std::uint64_t free = meminfo("HugePages_Free");

	bool operator==(const Pool &) const = default;
};

std::ostream &operator<<(std::ostream &out, const Pool &pool)
{
	return out << "HugePages_Rsvd " << pool.reserved << " HugePages_Free " << pool.free;
}

/// Blocks of 512 bytes that a file occupies.
std::uint64_t blocks_of(int fd)
{
	struct stat about {
	};
	checked(::fstat(fd, &about), "fstat");
	return static_cast<std::uint64_t>(about.st_blocks);
}

/// A memfd of hugetlb pages without any page in it yet.
Fd empty_file(std::size_t pages)
{
	Fd fd(::memfd_create("per_vma_lock", MFD_CLOEXEC | MFD_HUGETLB));
	if (!fd)
		throw Skip("no hugetlb memfd");
	checked(::ftruncate(fd.get(), static_cast<off_t>(pages * huge_page_bytes())), "ftruncate");
	return fd;
}

Mapping map_pages(std::size_t pages, int flags, int fd = -1)
{
	MapRequest request;
	request.bytes = pages * huge_page_bytes();
	request.alignment = huge_page_bytes();
	request.flags = flags | MAP_HUGETLB;
	request.fd = fd;
	return Mapping(request);
}

constexpr std::size_t pages_used = 4;

/// Reserves every huge page that is left. Throws Skip where these are so many that the machine may
/// need them.
Mapping take_rest()
{
	constexpr std::uint64_t most = 64;
	const std::uint64_t rest = unreserved_huge_pages();

	if (rest > most)
		throw Skip(std::to_string(rest) + " free huge pages are too many to take them all");
	return rest != 0 ? map_pages(rest, MAP_PRIVATE | MAP_ANONYMOUS) : Mapping();
}

class Reservation : public testing::Test
{
    protected:
	Reservation()
		: grown_(free_huge_pages(2 * pages_used)),
		  no_surplus_(
			  setting_among(huge_page_setting("nr_overcommit_hugepages"), {"0"}, "0")),
		  before_()
	{
	}

	[[nodiscard]] std::uint8_t *page(const Mapping &map, std::size_t index) const
	{
		return map.at(index * huge_page_bytes());
	}

	std::unique_ptr<SettingGuard> grown_;
	std::unique_ptr<SettingGuard> no_surplus_; ///< the pool has no more than its own pages
	Pool before_;
};

TEST_F(Reservation, IsUsedUpByPrivateReadsAndWritesAlike)
{
	{
		const Mapping map = map_pages(pages_used, MAP_PRIVATE | MAP_ANONYMOUS);
		EXPECT_EQ(Pool().reserved, before_.reserved + pages_used);
		EXPECT_EQ(load(page(map, 0)), 0);
		EXPECT_EQ(Pool().reserved, before_.reserved + pages_used - 1);
		store(page(map, 1), written);
		EXPECT_EQ(Pool().reserved, before_.reserved + pages_used - 2);
		store(page(map, 0), written); // no second page for it
		EXPECT_EQ(Pool().reserved, before_.reserved + pages_used - 2);
		EXPECT_EQ(Pool().free, before_.free - 2);
	}
	EXPECT_EQ(Pool(), before_);
}

TEST_F(Reservation, OfPrivateFileMappingComesBack)
{
	{
		const Fd file = empty_file(pages_used);
		const Mapping map = map_pages(pages_used, MAP_PRIVATE, file.get());
		EXPECT_EQ(Pool().reserved, before_.reserved + pages_used);
		EXPECT_EQ(load(page(map, 0)), 0);
		store(page(map, 1), written);
		store(page(map, 0), written);
		EXPECT_EQ(load(page(map, 2)), 0);
		EXPECT_EQ(Pool().reserved, before_.reserved + pages_used - 3);
		EXPECT_EQ(*page(map, 0), written);
		EXPECT_EQ(*page(map, 1), written);
	}
	EXPECT_EQ(Pool(), before_);
}

TEST_F(Reservation, PrivateReadAddsNoPageToTheFile)
{
	const Fd file = empty_file(pages_used);
	const Mapping map = map_pages(pages_used, MAP_PRIVATE, file.get());

	for (std::size_t i = 0; i < pages_used; i++)
		EXPECT_EQ(load(page(map, i)), 0);
	EXPECT_EQ(blocks_of(file.get()), 0U);

	// The file still has holes: another mapping's write is not seen through ours.
	const Mapping shared = map_pages(pages_used, MAP_SHARED, file.get());
	store(page(shared, 0), written);
	EXPECT_GT(blocks_of(file.get()), 0U);
	EXPECT_EQ(load(page(map, 0)), 0);
}

TEST_F(Reservation, NeverEndsInSigbusWhenThePoolIsExactlyLargeEnough)
{
	// Take every page but the ones that the mapping reserves.
	const Mapping map = map_pages(pages_used, MAP_PRIVATE | MAP_ANONYMOUS);
	const Mapping others = take_rest();
	for (std::size_t at = 0; at < others.size(); at += huge_page_bytes())
		store(others.at(at), written);
	ASSERT_EQ(Pool().free, Pool().reserved);

	for (std::size_t i = 0; i < pages_used; i++) {
		std::uint8_t *target = page(map, i);
		EXPECT_FALSE(signal_of([=] { load(target); })) << "read of page " << i;
		EXPECT_FALSE(signal_of([=] { store(target, written); })) << "write to page " << i;
	}
}

TEST_F(Reservation, MissingEndsInSigbusForWriterAndReader)
{
	const Mapping map = map_pages(pages_used, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	const Mapping others = take_rest();
	std::uint8_t *target = page(map, 0);

	for (const bool write : {false, true}) {
		const auto caught =
			signal_of([=] { write ? store(target, written) : void(load(target)); });
		ASSERT_TRUE(caught) << "there was no page left";
		EXPECT_EQ(caught->number, SIGBUS);
		EXPECT_EQ(caught->code, BUS_ADRERR);
		EXPECT_EQ(caught->address, target);
	}
}

TEST_F(Reservation, OutlivesForkAndCopyOnWrite)
{
	{
		const Mapping map = map_pages(pages_used, MAP_PRIVATE | MAP_ANONYMOUS);
		store(page(map, 0), written);
		EXPECT_EQ(load(page(map, 1)), 0);
		EXPECT_TRUE(passes_in_child([&] {
			EXPECT_EQ(*page(map, 0), written);
			store(page(map, 0), 1);
			store(page(map, 1), 2);
			EXPECT_EQ(*page(map, 0), 1);
		}));
		EXPECT_EQ(*page(map, 0), written);
		EXPECT_EQ(*page(map, 1), 0);
		store(page(map, 1), written);
		store(page(map, 2), written);
	}
	EXPECT_EQ(Pool(), before_);
}

TEST_F(Reservation, OutlivesThreadsThatFaultTheSamePages)
{
	{
		const Mapping map = map_pages(pages_used, MAP_PRIVATE | MAP_ANONYMOUS);
		const auto visit = [&](bool write) {
			for (std::size_t i = 0; i < pages_used; i++) {
				if (write)
					store(page(map, i), written);
				else
					load(page(map, i));
			}
		};
		std::jthread writer(visit, true);
		std::jthread reader(visit, false);
		writer.join();
		reader.join();
		for (std::size_t i = 0; i < pages_used; i++)
			EXPECT_EQ(*page(map, i), written);
		EXPECT_EQ(Pool().free, before_.free - pages_used);
	}
	EXPECT_EQ(Pool(), before_);
}

/// A file that has a page, but not the first one: whether a read of that one has to allocate is not
/// known before its place in the page cache was looked at.
void punch_first(Memory &memory)
{
	const auto unit = static_cast<off_t>(memory.unit());
	cut_to_a_hole(memory);
	checked(::fallocate(memory.fd(), 0, unit, unit), "fallocate");
}

TEST(HugetlbHole, BesideACachedPageIsReadWithOneFault)
{
	Memory memory(Backing::hugetlb_memfd_private);
	punch_first(memory);
	LockCounter counter;
	const LockEvents seen = counter.measure([&] { load(memory.unit_at(0)); });
	EXPECT_EQ(seen.page_faults, 1U);
	EXPECT_EQ(*memory.unit_at(0), 0);
}

enum class Access { read, write };

class GiganticPage : public testing::TestWithParam<Access>
{
};

TEST_P(GiganticPage, KeepsVmaLockAtFirstAccess)
{
	constexpr std::size_t bytes = std::size_t{1} << 30;
	const bool writes = GetParam() == Access::write;
	const auto grown = free_huge_pages(1, bytes);
	MapRequest request;
	request.bytes = request.alignment = bytes;
	request.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | uapi::map_huge_1gb;
	const Mapping map(request);

	LockCounter counter;
	const LockEvents seen = counter.measure(
		[&] { writes ? store(map.data(), written) : void(load(map.data())); });
	EXPECT_EQ(seen.page_faults, 1U);
	EXPECT_EQ(*map.data(), writes ? written : 0);
	EXPECT_EQ(*map.at(bytes - 1), 0);
	expect_cost(writes ? "hugetlb/first_write/1g" : "hugetlb/first_read/1g",
		    ExpectedCost::both(one_trylock), seen);
}

INSTANTIATE_TEST_SUITE_P(Hugetlb, GiganticPage, testing::Values(Access::read, Access::write),
			 [](const testing::TestParamInfo<Access> &info) {
				 return info.param == Access::read ? "read" : "write";
			 });

std::vector<Story> stories()
{
	std::vector<Story> all;
	for (const Backing backing : {Backing::hugetlb_memfd_private, Backing::hugetlbfs_private}) {
		const std::string name = name_of(backing);
		const Step read = [](Memory &memory) { EXPECT_EQ(load(memory.unit_at(0)), 0); };
		const Step write = [](Memory &memory) { store(memory.unit_at(0), written); };
		const Step read_first = [=](Memory &memory) {
			cut_to_a_hole(memory);
			read(memory);
		};
		const Step file_is_empty = [](Memory &memory) {
			EXPECT_EQ(blocks_of(memory.fd()), 0U);
			EXPECT_EQ(memory.unit_at(0)[1], 0);
		};

		const Step file_has_one_page = [](Memory &memory) {
			constexpr std::uint64_t block_bytes = 512;
			EXPECT_EQ(blocks_of(memory.fd()), memory.unit() / block_bytes);
			EXPECT_EQ(memory.unit_at(0)[1], 0);
		};

		all.push_back({"hugetlb/read_of_hole/" + name, backing,
			       ExpectedCost::both(one_trylock), cut_to_a_hole, read,
			       file_is_empty});
		all.push_back({"hugetlb/read_of_hole_beside_cached_page/" + name, backing,
			       ExpectedCost::both(one_trylock), punch_first, read,
			       file_has_one_page});
		all.push_back({"hugetlb/write_to_hole/" + name, backing,
			       ExpectedCost::both(one_trylock), cut_to_a_hole, write,
			       file_is_empty});
		all.push_back({"hugetlb/write_after_read_of_hole/" + name, backing,
			       ExpectedCost::both(vma_lock_only), read_first, write,
			       file_is_empty});
	}
	return all;
}

INSTANTIATE_TEST_SUITE_P(Hugetlb, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
