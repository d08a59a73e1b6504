// SPDX-License-Identifier: GPL-2.0
#include "fault_events.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "support/error.h"
#include "support/setting.h"

namespace pvl
{

namespace
{

enum class Source {
	page_faults,
	tracepoint, ///< "group/event"
	function,   ///< entry of a kernel function, by kprobe
};

struct Event {
	const char *name;
	Source source;
	const char *what;
	const char *filter; ///< in the language of trace event filters
};

constexpr std::array<Event, 8> all_events = {
	Event{"page_faults", Source::page_faults, "page faults", ""},
	Event{"mmap_lock", Source::tracepoint, "mmap_lock/mmap_lock_start_locking", ""},
	Event{"mmap_lock_failed", Source::tracepoint, "mmap_lock/mmap_lock_acquire_returned",
	      "success == 0"},
	Event{"mmap_trylock", Source::function, "down_read_trylock", ""},
	Event{"anon_vma_prepare", Source::function, "__anon_vma_prepare", ""},
	Event{"anon_vma_objects", Source::tracepoint, "kmem/kmem_cache_alloc",
	      "name == \"anon_vma\""},
	Event{"anon_vma_chain_objects", Source::tracepoint, "kmem/kmem_cache_alloc",
	      "name == \"anon_vma_chain\""},
	Event{"slab_objects", Source::tracepoint, "kmem/kmem_cache_alloc", ""},
};

/// A perf event of this thread that does not count yet; throws Skip where there is none.
Fd opened(const Event &event)
{
	constexpr pid_t this_thread = 0;
	constexpr int any_cpu = -1;
	constexpr int no_group = -1;
	perf_event_attr attributes{};

	attributes.size = sizeof(attributes);
	attributes.disabled = 1;
	switch (event.source) {
	case Source::page_faults:
		attributes.type = PERF_TYPE_SOFTWARE;
		attributes.config = PERF_COUNT_SW_PAGE_FAULTS;
		break;
	case Source::tracepoint:
		attributes.type = PERF_TYPE_TRACEPOINT;
		attributes.config = std::stoull(first_line("/sys/kernel/tracing/events/" +
							   std::string(event.what) + "/id"));
		break;
	case Source::function:
		attributes.type = static_cast<std::uint32_t>(
			std::stoul(first_line("/sys/bus/event_source/devices/kprobe/type")));
		attributes.kprobe_func = reinterpret_cast<std::uintptr_t>(event.what);
		break;
	}

	Fd descriptor(static_cast<int>(::syscall(SYS_perf_event_open, &attributes, this_thread,
						 any_cpu, no_group, PERF_FLAG_FD_CLOEXEC)));
	if (!descriptor ||
	    (*event.filter != '\0' &&
	     ::ioctl(descriptor.get(), PERF_EVENT_IOC_SET_FILTER, event.filter) != 0))
		throw Skip(std::string(event.what) + " " + event.filter + ": " +
			   std::strerror(errno));
	return descriptor;
}

void switch_event(const Fd &event, unsigned long request)
{
	if (event)
		checked(::ioctl(event.get(), request, 0), "ioctl of a perf event");
}

std::optional<std::uint64_t> value_of(const Fd &event)
{
	std::uint64_t value = 0;

	if (!event)
		return std::nullopt;
	checked(::read(event.get(), &value, sizeof(value)), "read of a perf event");
	return value;
}

} // namespace

const std::vector<std::string> &FaultEvents::names()
{
	static const std::vector<std::string> names = [] {
		std::vector<std::string> list;
		list.reserve(std::size(all_events));
		for (const Event &event : all_events)
			list.emplace_back(event.name);
		return list;
	}();
	return names;
}

FaultEvents::FaultEvents()
{
	for (const Event &event : all_events) {
		try {
			events_.push_back(opened(event));
		} catch (const Skip &reason) {
			events_.emplace_back();
			missing_[event.name] = reason.what();
		}
	}
}

void FaultEvents::start()
{
	for (const Fd &event : events_)
		switch_event(event, PERF_EVENT_IOC_RESET);
	for (const Fd &event : events_)
		switch_event(event, PERF_EVENT_IOC_ENABLE);
}

void FaultEvents::stop(EventCounts &counts)
{
	for (const Fd &event : events_)
		switch_event(event, PERF_EVENT_IOC_DISABLE);

	counts.resize(events_.size(), 0);
	for (std::size_t index = 0; index < events_.size(); index++) {
		const std::optional<std::uint64_t> value = value_of(events_[index]);

		if (counts[index] && value)
			*counts[index] += *value;
		else
			counts[index].reset();
	}
}

} // namespace pvl
