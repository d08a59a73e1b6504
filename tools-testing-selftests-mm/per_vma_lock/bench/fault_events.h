// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/fd.h"

namespace pvl
{

/// One count an event, in the order of FaultEvents::names(); empty where it cannot be counted.
using EventCounts = std::vector<std::optional<std::uint64_t>>;

/// Counts, for the calling thread, what the report shows of each fault: the mmap_lock, calls of
/// __anon_vma_prepare(), slab objects allocated.
///
/// Facts: include/trace/events/mmap_lock.h (trylocks emit start_locking too; on a rwsem the
/// function down_read_trylock() tells them apart), include/trace/events/kmem.h (kmem_cache_alloc
/// names the cache from Linux 6.19 on; caches that were merged share a name, so the guest is booted
/// with slab_nomerge).
class FaultEvents
{
    public:
	FaultEvents();

	static const std::vector<std::string> &names();

	/// Runs @p action and adds what happened during it to @p counts.
	template <typename Action> void measure(EventCounts &counts, Action &&action)
	{
		start();
		action();
		stop(counts);
	}

	/// Event name to the reason why it cannot be counted here.
	[[nodiscard]] const std::map<std::string, std::string> &missing() const noexcept
	{
		return missing_;
	}

    private:
	void start();
	void stop(EventCounts &counts);

	std::vector<Fd> events_; ///< perf events; without a descriptor: cannot be counted
	std::map<std::string, std::string> missing_;
};

} // namespace pvl
