// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/memory.h"
#include "support/random.h"

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
	collapse,
	flip_huge,    ///< MADV_HUGEPAGE or MADV_NOHUGEPAGE, by value
	read_only,    ///< a write that has to end in SIGSEGV, then writable again
	split,	      ///< one page gets other permissions; merged again by the next read_only
	move,	      ///< mremap() elsewhere
	fork,	      ///< a child checks, writes and exits
	guard,	      ///< a guard region that has to be hit, then removed
	fill_by_uffd, ///< UFFDIO_COPY into a page that is not there
	lie, ///< changes memory behind the model's back; never chosen, for testing the fuzzer
};

inline constexpr std::size_t action_count = static_cast<std::size_t>(Action::lie) + 1;

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

	/// Carries @p operation out. Returns what was wrong, or nothing. What this machine cannot
	/// do is left out.
	std::optional<std::string> apply(const Operation &operation);

	/// Compares every byte of every memory. Returns what was wrong, or nothing.
	std::optional<std::string> check_all();

    private:
	struct Slot;
	bool hugetlb_;
	std::vector<std::unique_ptr<Slot>> slots_;
	Fd pipe_read_;
	Fd pipe_write_;
};

/// The shortest list that ddmin finds (Zeller, "Simplifying and isolating failure-inducing input")
/// of those parts of @p operations for which @p fails still holds.
std::vector<Operation> minimal(std::vector<Operation> operations,
			       const std::function<bool(const std::vector<Operation> &)> &fails);

} // namespace pvl
