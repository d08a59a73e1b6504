// SPDX-License-Identifier: GPL-2.0
//
// Every kind of memory, with and without an anon_vma, read and written by user code.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "support/error.h"
#include "support/event_counter.h"
#include "support/lock_cost.h"
#include "support/mapping.h"
#include "support/memory.h"
#include "support/setting.h"
#include "support/smaps.h"
#include "support/uapi.h"

namespace pvl
{

namespace
{

enum class Access { first_read, first_write, write_after_read };
enum class State { no_anon_vma, anon_vma };

using Case = std::tuple<Backing, Access, State>;

constexpr std::uint8_t written = 0x5a;

std::string name_of(Access access)
{
	switch (access) {
	case Access::first_read:
		return "first_read";
	case Access::first_write:
		return "first_write";
	case Access::write_after_read:
		return "write_after_read";
	}
	return "?";
}

std::string name_of(State state)
{
	return state == State::anon_vma ? "anon_vma" : "no_anon_vma";
}

std::string case_name(const Case &what, const char *separator)
{
	const auto [backing, access, state] = what;
	return name_of(backing) + separator + name_of(access) + separator + name_of(state);
}

ExpectedCost expected_cost(const Case &what)
{
	const auto [backing, access, state] = what;

	if (is_shared(backing) || state == State::anon_vma)
		return ExpectedCost::both(vma_lock_only);
	if (access == Access::first_write)
		return ExpectedCost::both(one_trylock);

	const bool read = access == Access::first_read;
	if (backing == Backing::hugetlb_private) // no zero page: the read allocates
		return ExpectedCost::both(read ? one_trylock : vma_lock_only);
	if (is_anon_thp(backing)) // the huge zero page needs no anon_vma
		return read ? ExpectedCost{one_trylock, vma_lock_only}
			    : ExpectedCost{vma_lock_only, one_trylock};
	return ExpectedCost::both(read ? vma_lock_only : one_trylock);
}

class Matrix : public testing::TestWithParam<Case>
{
    protected:
	Matrix() : memory_(std::get<Backing>(GetParam())), shadow_(memory_.shadow())
	{
		if (std::get<State>(GetParam()) == State::anon_vma)
			shadow_[memory_.map().size() - memory_.unit()] = memory_.prepare_anon_vma();
		if (std::get<Access>(GetParam()) == Access::write_after_read)
			read_ = load(target());
	}

	[[nodiscard]] std::uint8_t *target() const
	{
		return memory_.unit_at(0);
	}

	// The measured access.
	void touch()
	{
		if (std::get<Access>(GetParam()) == Access::first_read)
			read_ = load(target());
		else
			store(target(), written);
	}

	Memory memory_;
	std::vector<std::uint8_t> shadow_;
	std::uint8_t read_ = 0;
};

TEST_P(Matrix, DataIsRight)
{
	const auto [backing, access, state] = GetParam();
	const std::size_t bytes = memory_.map().size();

	touch();
	if (access != Access::first_write) {
		EXPECT_EQ(read_, memory_.initial_byte(0));
	}
	if (access != Access::first_read)
		shadow_[0] = written;
	EXPECT_EQ(first_difference(memory_.map().data(), shadow_.data(), bytes), bytes)
		<< "the mapping differs from its shadow copy at this byte";
	if (!has_file_content(backing))
		return;
	if (!is_shared(backing)) {
		EXPECT_TRUE(memory_.file_is_unchanged()) << "a private write reached the file";
	} else if (access != Access::first_read) {
		EXPECT_EQ(memory_.file_byte(0), written) << "a shared write is not in the file";
	}
}

TEST_P(Matrix, KeepsVmaLock)
{
	LockCounter counter;

	const LockEvents seen = counter.measure([this] { touch(); });
	if (!is_shared(std::get<Backing>(
		    GetParam()))) { // shared: the read may have mapped it writable
		EXPECT_EQ(seen.page_faults, 1U) << "the access was to be one page fault";
	}
	expect_cost(case_name(GetParam(), "/"), expected_cost(GetParam()), seen);
}

INSTANTIATE_TEST_SUITE_P(Fault, Matrix,
			 testing::Combine(testing::ValuesIn(all_backings()),
					  testing::Values(Access::first_read, Access::first_write,
							  Access::write_after_read),
					  testing::Values(State::no_anon_vma, State::anon_vma)),
			 [](const testing::TestParamInfo<Case> &info) {
				 return case_name(info.param, "_");
			 });

/// The kernel's count of large folios of one size that could not be had.
/// Documentation/admin-guide/mm/transhuge.rst
class Fallbacks
{
    public:
	/// Remembers the count @p name, e.g. "shmem_fallback", of folios of @p bytes. Throws Skip
	/// where the kernel has none.
	Fallbacks(std::size_t bytes, const std::string &name)
		: bytes_(bytes), path_(thp_setting(bytes, "stats/" + name)),
		  before_(first_line(path_))
	{
	}

	/// Expects a large folio to be mapped at @p start. Throws Skip if there is none because the
	/// count has risen.
	void expect_folio_at(const std::uint8_t *start) const
	{
		const bool large = is_large_folio(start, bytes_);

		if (!large && first_line(path_) != before_)
			throw Skip("memory is too fragmented for a large folio");
		EXPECT_TRUE(large);
	}

    private:
	std::size_t bytes_;
	std::string path_;
	std::string before_;
};

class LargeFolio : public testing::TestWithParam<Backing>
{
};

// What the cases above are about is there. A private write to a file's page copies a base page, so
// that it is a read that maps the file's folio.
TEST_P(LargeFolio, IsMappedByTheFirstFault)
{
	const Fallbacks fallbacks(unit_bytes(GetParam()), has_file_content(GetParam())
								  ? "shmem_fallback"
								  : "anon_fault_fallback");
	const Memory memory(GetParam());

	if (GetParam() == Backing::shmem_thp_private)
		load(memory.unit_at(0));
	else
		store(memory.unit_at(0), written);
	fallbacks.expect_folio_at(memory.unit_at(0));
}

INSTANTIATE_TEST_SUITE_P(Fault, LargeFolio,
			 testing::Values(Backing::thp, Backing::thp_always, Backing::mthp,
					 Backing::shmem_thp_private, Backing::shmem_thp_shared),
			 [](const testing::TestParamInfo<Backing> &info) {
				 return name_of(info.param);
			 });

/// Memory for one anonymous folio of a size, in KiB, between a base page and a PMD.
class FolioSize : public testing::TestWithParam<std::size_t>
{
    protected:
	FolioSize()
		: bytes_(GetParam() * 1024), setting_(thp_setting(bytes_, "enabled"), "madvise"),
		  map_({.bytes = bytes_, .alignment = bytes_})
	{
		if (::madvise(map_.data(), bytes_, uapi::madv_hugepage) != 0)
			throw Skip(std::string("MADV_HUGEPAGE: ") + std::strerror(errno));
	}

	[[nodiscard]] std::uint8_t *middle() const
	{
		return map_.at(bytes_ / 2);
	}

	std::size_t bytes_;
	SettingGuard setting_;
	Mapping map_;
};

TEST_P(FolioSize, DataIsRight)
{
	const Fallbacks fallbacks(bytes_, "anon_fault_fallback");
	std::vector<std::uint8_t> shadow(bytes_);

	store(middle(), written);
	shadow[bytes_ / 2] = written;
	fallbacks.expect_folio_at(map_.data());
	EXPECT_EQ(first_difference(map_.data(), shadow.data(), bytes_), bytes_)
		<< "the mapping differs from its shadow copy at this byte";
}

TEST_P(FolioSize, KeepsVmaLock)
{
	const std::string kind = "mthp_" + std::to_string(GetParam()) + "k";
	LockCounter counter;

	expect_cost(kind + "/first_write/no_anon_vma", ExpectedCost::both(one_trylock),
		    counter.measure([this] { store(middle(), written); }));
}

INSTANTIATE_TEST_SUITE_P(Fault, FolioSize,
			 testing::Values(std::size_t{16}, std::size_t{32}, std::size_t{64},
					 std::size_t{128}, std::size_t{256}, std::size_t{512},
					 std::size_t{1024}),
			 [](const testing::TestParamInfo<std::size_t> &info) {
				 return std::to_string(info.param) + "k";
			 });

} // namespace

} // namespace pvl
