// SPDX-License-Identifier: GPL-2.0
//
// Kernel events of the calling thread, counted exactly by perf_event_open(2):
// nothing that another thread does is in the figures.
#pragma once

#include "resources.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace per_vma_lock
{

/** One perf event counter of the calling thread, counting from construction on. */
class EventCounter {
    public:
	/**
	 * Counts the tracepoint @event ("mmap_lock:mmap_lock_start_locking"), with the
	 * trace event filter @filter if it is not empty.
	 *
	 * Throws std::system_error when the kernel has no such event or the caller
	 * may not count it.
	 */
	static EventCounter tracepoint(const std::string &event, const std::string &filter = {});

	/** Counts the calls of kernel function @function; throws like tracepoint(). */
	static EventCounter kernel_function(const std::string &function);

	/** How often the event happened since construction. */
	std::uint64_t value() const;

    private:
	explicit EventCounter(Fd descriptor)
		: descriptor_(std::move(descriptor))
	{
	}

	Fd descriptor_;
};

/**
 * The events that the report shows for each fault.
 *
 * The facts come from include/trace/events/mmap_lock.h: acquire_returned is
 * emitted for trylocks too, start_locking only where the caller may wait.
 */
class FaultEvents {
    public:
	FaultEvents();

	/** Names in the order of values(). */
	static const std::vector<std::string> &names();

	/** One count an event; no value where this kernel cannot count it. */
	std::vector<std::optional<std::uint64_t>> values() const;

	/** Event name to why it cannot be counted. */
	const std::map<std::string, std::string> &missing() const
	{
		return missing_;
	}

    private:
	std::vector<std::optional<EventCounter>> counters_;
	std::map<std::string, std::string> missing_;
};

} // namespace per_vma_lock
