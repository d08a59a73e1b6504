// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/memory.h"
#include "support/random.h"
#include "support/setting.h"

namespace pvl
{

/// What a fuzzing operation does to one slot of a FuzzWorld.
enum class Action : std::uint8_t {
	map, ///< value chooses the backing
	unmap,
	read,
	write,
	write_by_syscall, ///< the kernel copies in
	write_by_gup,	  ///< process_vm_writev()
	dontneed,
	populate_read,
	populate_write,
	pageout,
	collapse,	///< once more one VMA, where that can help
	flip_huge,	///< MADV_HUGEPAGE or MADV_NOHUGEPAGE, by value
	read_only,	///< a write that has to end in SIGSEGV, then writable again
	split,		///< one page gets other permissions; merged again by the next read_only
	move,		///< mremap() elsewhere
	move_and_keep,	///< the same with MREMAP_DONTUNMAP: what is left starts anew
	fork,		///< a child checks, writes and exits
	guard,		///< a guard region that has to be hit, then removed
	fill_by_uffd,	///< UFFDIO_COPY into a page that is not there
	zero_by_uffd,	///< UFFDIO_ZEROPAGE
	free,		///< MADV_FREE, then a write: what was there stays or is zero
	lock,		///< mlock() or munlock(), by value
	flip_zero_page, ///< use_zero_page of THP, for all the machine, by value
	lie, ///< changes memory behind the model's back; never chosen, for testing the fuzzer
};

inline constexpr std::size_t action_count = static_cast<std::size_t>(Action::lie) + 1;

/// The word for it in the text form of operations.
std::string name_of(Action action);

/// How often one kind of action came to what.
struct Tally {
	std::uint64_t done = 0;	   ///< carried out
	std::uint64_t refused = 0; ///< not: for some memory, or in some state, that is right
	std::uint64_t skipped = 0; ///< not: this machine, kernel or user cannot
	std::string why;	   ///< it was skipped

	Tally &operator+=(const Tally &other);
};

/// One for each Action.
using Tallies = std::array<Tally, action_count>;

/// One operation; numbers are reduced to what exists.
struct Operation {
	Action action = Action::read;
	std::uint32_t slot = 0;
	std::uint32_t place = 0; ///< byte offset in the memory, modulo its size
	std::uint8_t value = 0;

	bool operator==(const Operation &) const = default;
};

/// "write:3:4100:77", the form of --replay.
std::string to_text(const Operation &operation);

/// The reverse; throws std::invalid_argument naming the text.
Operation parse_operation(const std::string &text);

/// Operations separated by commas.
std::string to_text(const std::vector<Operation> &operations);
std::vector<Operation> parse_operations(const std::string &text);

/// Every action but lie on every kind of memory, one kind after the other.
std::vector<Operation> every_operation();

/// A random operation, any but lie.
Operation random_operation(Random &random);

/// Some memories of random kinds and what has to be in them. Used by one thread.
class FuzzWorld
{
    public:
	/// How many memories there may be.
	static constexpr std::size_t slot_count = 24;

	/// Without @p hugetlb no memory of the hugetlb pool is made: one that runs out in the
	/// middle is a SIGBUS.
	explicit FuzzWorld(bool hugetlb = true);
	FuzzWorld(const FuzzWorld &) = delete;
	FuzzWorld &operator=(const FuzzWorld &) = delete;
	~FuzzWorld();

	/// Carries @p operation out, and counts it. Returns what was wrong, or nothing. What this
	/// machine cannot do is left out.
	std::optional<std::string> apply(const Operation &operation);

	/// Compares every byte of every memory. Returns what was wrong, or nothing.
	std::optional<std::string> check_all();

	/// What became of the operations so far.
	[[nodiscard]] const Tallies &tallies() const noexcept
	{
		return tallies_;
	}

    private:
	struct Slot;
	/// What came of one operation.
	struct Result {
		bool done = true;
		std::optional<std::string> wrong{};
	};

	Result carry_out(const Operation &operation);

	bool hugetlb_;
	std::vector<std::unique_ptr<Slot>> slots_;
	Fd pipe_read_;
	Fd pipe_write_;
	std::unique_ptr<SettingGuard> zero_page_;
	Tallies tallies_;
};

/// The shortest list that ddmin finds (Zeller, "Simplifying and isolating failure-inducing input")
/// of those parts of @p operations for which @p fails still holds.
std::vector<Operation> minimal(std::vector<Operation> operations,
			       const std::function<bool(const std::vector<Operation> &)> &fails);

} // namespace pvl
