// SPDX-License-Identifier: GPL-2.0
#include "event_counters.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <system_error>

namespace per_vma_lock
{
namespace
{

Fd opened(perf_event_attr &attributes, const std::string &what)
{
	constexpr pid_t this_thread = 0;
	constexpr int any_cpu = -1;
	constexpr int no_group = -1;

	attributes.size = sizeof(attributes);
	const long descriptor = syscall(SYS_perf_event_open, &attributes, this_thread, any_cpu,
					no_group, PERF_FLAG_FD_CLOEXEC);
	if (descriptor < 0)
		throw std::system_error(errno, std::generic_category(),
					"perf_event_open for " + what);
	return Fd(static_cast<int>(descriptor));
}

} // namespace

EventCounter EventCounter::tracepoint(const std::string &event, const std::string &filter)
{
	std::string path = event;
	path.replace(path.find(':'), 1, "/");

	perf_event_attr attributes{};
	attributes.type = PERF_TYPE_TRACEPOINT;
	attributes.config =
		std::stoull(text_of_file("/sys/kernel/tracing/events/" + path + "/id"));
	Fd descriptor = opened(attributes, event);

	if (!filter.empty() &&
	    ioctl(descriptor.number(), PERF_EVENT_IOC_SET_FILTER, filter.c_str()) != 0)
		throw std::system_error(errno, std::generic_category(),
					"filter " + filter + " on " + event);
	return EventCounter(std::move(descriptor));
}

EventCounter EventCounter::kernel_function(const std::string &function)
{
	perf_event_attr attributes{};

	attributes.type = static_cast<std::uint32_t>(
		std::stoul(text_of_file("/sys/bus/event_source/devices/kprobe/type")));
	attributes.kprobe_func = reinterpret_cast<std::uint64_t>(function.c_str());
	return EventCounter(opened(attributes, function + "()"));
}

std::uint64_t EventCounter::value() const
{
	std::uint64_t count = 0;

	if (read(descriptor_.number(), &count, sizeof(count)) != sizeof(count))
		throw std::system_error(errno, std::generic_category(), "read of a perf event");
	return count;
}

const std::vector<std::string> &FaultEvents::names()
{
	static const std::vector<std::string> names = {
		"mmap_lock",	    "mmap_lock_blocking", "anon_vma_prepare",
		"anon_vma_objects", "anon_vma_chain_objects", "slab_objects",
	};
	return names;
}

FaultEvents::FaultEvents()
{
	// In the order of names(). A filter by cache name needs slab_nomerge on
	// the kernel's command line: merged caches share a name.
	const std::vector<std::function<EventCounter()>> makers = {
		[] {
			return EventCounter::tracepoint("mmap_lock:mmap_lock_acquire_returned",
							"success == 1");
		},
		[] { return EventCounter::tracepoint("mmap_lock:mmap_lock_start_locking"); },
		[] { return EventCounter::kernel_function("__anon_vma_prepare"); },
		[] {
			return EventCounter::tracepoint("kmem:kmem_cache_alloc",
							"name == \"anon_vma\"");
		},
		[] {
			return EventCounter::tracepoint("kmem:kmem_cache_alloc",
							"name == \"anon_vma_chain\"");
		},
		[] { return EventCounter::tracepoint("kmem:kmem_cache_alloc"); },
	};

	for (std::size_t event = 0; event < makers.size(); event++) {
		try {
			counters_.emplace_back(makers[event]());
		} catch (const std::exception &problem) {
			counters_.emplace_back(std::nullopt);
			missing_[names().at(event)] = problem.what();
		}
	}
}

std::vector<std::optional<std::uint64_t>> FaultEvents::values() const
{
	std::vector<std::optional<std::uint64_t>> values;

	values.reserve(counters_.size());
	for (const std::optional<EventCounter> &counter : counters_)
		values.push_back(counter ? std::optional(counter->value()) : std::nullopt);
	return values;
}

} // namespace per_vma_lock
