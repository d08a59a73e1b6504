// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/fd.h"

namespace pvl
{

/// Whose events are counted: the calling thread's, or also those of the threads that come to be of
/// it while the counter exists, the workers that io_uring makes for it among them.
enum class Counted { thread, thread_and_new_ones };

/// One perf event that counts for the Counted threads only, in kernel mode and user mode.
/// It is created disabled. Facts: perf_event_open(2); tracepoint numbers from tracefs
/// events/<group>/<name>/id; the kprobe PMU from /sys/bus/event_source/devices/kprobe/type.
class EventCounter
{
    public:
	/// Counts a tracepoint such as "mmap_lock/mmap_lock_start_locking", only where @p filter
	/// (the tracing filter language, e.g. "write==0") holds. Throws Skip when the kernel lacks
	/// the tracepoint or does not let this user count it.
	static EventCounter tracepoint(const std::string &name, const std::string &filter,
				       const EventCounter *leader,
				       Counted counted = Counted::thread);

	/// Counts page faults that were completed (PERF_COUNT_SW_PAGE_FAULTS).
	static EventCounter page_faults(const EventCounter *leader, Counted counted);

	[[nodiscard]] int fd() const noexcept
	{
		return fd_.get();
	}

    private:
	explicit EventCounter(Fd fd) noexcept : fd_(std::move(fd))
	{
	}

	Fd fd_;
};

/// What the Counted threads did to their mmap_lock while something was measured.
struct LockEvents {
	std::uint64_t read_locks = 0; ///< attempts to take mmap_lock for reading, trylocks included
	std::uint64_t write_locks = 0;	///< attempts to take mmap_lock for writing
	std::uint64_t failed_locks = 0; ///< attempts (trylock or killable) that did not get it
	std::uint64_t page_faults = 0;	///< completed page faults
	/// Calls of down_read_trylock(), but for those that take a VMA lock (before Linux 6.15);
	/// empty without kprobes. mmap_read_trylock() and mmap_read_lock() fire the same
	/// tracepoints, the rwsem function tells them apart.
	std::optional<std::uint64_t> trylocks;
	/// Calls of __anon_vma_prepare(); empty without kprobes.
	std::optional<std::uint64_t> anon_vma_prepares;

	/// Attempts to take mmap_lock in any way.
	[[nodiscard]] std::uint64_t mmap_locks() const noexcept
	{
		return read_locks + write_locks;
	}
};

/// Counts LockEvents around an action.
///
/// Must be used by the thread that made it. Throws Skip (from the constructor) when the tracepoints
/// cannot be counted: no tracefs, no permission, old kernel. Kprobes (see Probes) are optional.
class LockCounter
{
    public:
	// Trace events, as in tracefs events/.
	static constexpr const char *start_event = "mmap_lock/mmap_lock_start_locking";
	static constexpr const char *returned_event = "mmap_lock/mmap_lock_acquire_returned";
	// Trace events that Probes defines, in its group.
	static constexpr const char *trylock_event = "trylock";
	static constexpr const char *prepare_event = "prepare";
	static constexpr const char *vma_lock_event = "vma_lock";

	explicit LockCounter(Counted counted = Counted::thread);

	/// Runs @p action and returns what happened during it. Nothing but the action and the
	/// system calls that switch the counters is inside the window.
	template <typename Action> LockEvents measure(Action &&action)
	{
		start();
		action();
		return stop();
	}

	void start();
	LockEvents stop();

    private:
	std::vector<EventCounter> events_;
	bool has_kprobes_ = false;
};

/// The mounted tracefs, e.g. "/sys/kernel/tracing". Throws Skip when there is none to read.
std::string tracefs();

/// Makes every page of this process's own text, data, heap and stack present, so that none of them
/// faults inside a measured window. Best effort for users whose RLIMIT_MEMLOCK is too small.
void prefault_process() noexcept;

} // namespace pvl
