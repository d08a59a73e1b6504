// SPDX-License-Identifier: GPL-2.0
#include "support/event_counter.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "support/error.h"
#include "support/session.h"

namespace pvl
{

namespace
{

// The order in which LockCounter opens its events, and reads them back.
enum Slot : unsigned {
	slot_read,
	slot_write,
	slot_failed,
	slot_faults,
	slot_trylock,
	slot_prepare,
	slot_vma_lock
};

constexpr std::size_t max_slots = 7;

std::uint64_t number_in(const std::string &path)
{
	std::ifstream file(path);
	std::uint64_t number = 0;
	if (!(file >> number))
		throw Skip("cannot read " + path + " (not root, or not in this kernel)");
	return number;
}

Fd open_event(perf_event_attr &attr, const EventCounter *leader, Counted counted,
	      const std::string &what)
{
	const bool new_ones = counted == Counted::thread_and_new_ones;
	attr.inherit = new_ones;
	attr.inherit_thread = new_ones;
	attr.size = sizeof(attr);
	attr.disabled = leader == nullptr;
	attr.read_format = PERF_FORMAT_GROUP;
	const auto fd = static_cast<int>(::syscall(SYS_perf_event_open, &attr, 0, -1,
						   leader != nullptr ? leader->fd() : -1,
						   PERF_FLAG_FD_CLOEXEC));
	if (fd < 0)
		throw Skip("perf_event_open " + what + ": " + std::strerror(errno));
	return Fd(fd);
}

} // namespace

std::string tracefs()
{
	for (const char *dir : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"})
		if (::access((std::string(dir) + "/events").c_str(), R_OK) == 0)
			return dir;
	throw Skip("tracefs is not mounted, or not readable by this user");
}

EventCounter EventCounter::tracepoint(const std::string &name, const std::string &filter,
				      const EventCounter *leader, Counted counted)
{
	perf_event_attr attr{};
	attr.type = PERF_TYPE_TRACEPOINT;
	attr.config = number_in(tracefs() + "/events/" + name + "/id");
	EventCounter event(open_event(attr, leader, counted, name));
	if (!filter.empty() && ::ioctl(event.fd(), PERF_EVENT_IOC_SET_FILTER, filter.c_str()) != 0)
		throw_errno("PERF_EVENT_IOC_SET_FILTER " + name + " " + filter);
	return event;
}

EventCounter EventCounter::page_faults(const EventCounter *leader, Counted counted)
{
	perf_event_attr attr{};
	attr.type = PERF_TYPE_SOFTWARE;
	attr.config = PERF_COUNT_SW_PAGE_FAULTS;
	return EventCounter(open_event(attr, leader, counted, "page faults"));
}

LockCounter::LockCounter(Counted counted)
{
	events_.reserve(max_slots);
	const auto add = [&](const std::string &name, const std::string &filter) {
		const EventCounter *leader = events_.empty() ? nullptr : &events_.front();
		events_.push_back(EventCounter::tracepoint(name, filter, leader, counted));
	};
	add(start_event, "write==0");
	add(start_event, "write==1");
	add(returned_event, "success==0");
	events_.push_back(EventCounter::page_faults(&events_.front(), counted));

	const std::string &group = session().probe_group;
	has_kprobes_ = !group.empty();
	if (!has_kprobes_)
		return;
	for (const char *name : {trylock_event, prepare_event})
		add(group + "/" + name, "");
	add(group + "/" + vma_lock_event, "vma!=0");
}

void LockCounter::start()
{
	const int fd = events_.front().fd();
	checked(::ioctl(fd, PERF_EVENT_IOC_RESET, PERF_IOC_FLAG_GROUP), "PERF_EVENT_IOC_RESET");
	checked(::ioctl(fd, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP), "PERF_EVENT_IOC_ENABLE");
}

LockEvents LockCounter::stop()
{
	const int fd = events_.front().fd();
	checked(::ioctl(fd, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP), "PERF_EVENT_IOC_DISABLE");

	std::array<std::uint64_t, 1 + max_slots> buffer{};
	checked(::read(fd, buffer.data(), sizeof(buffer)), "read of a perf event group");
	const auto value = [&](Slot slot) { return buffer.at(1 + slot); };

	LockEvents seen;
	seen.read_locks = value(slot_read);
	seen.write_locks = value(slot_write);
	seen.failed_locks = value(slot_failed);
	seen.page_faults = value(slot_faults);
	if (has_kprobes_) {
		const std::uint64_t all = value(slot_trylock);
		seen.trylocks =
			all - std::min(all, value(slot_vma_lock) * session().trylocks_per_vma_lock);
		seen.anon_vma_prepares = value(slot_prepare);
	}
	return seen;
}

void prefault_process() noexcept
{
	// mlockall() populates every existing mapping, private writable ones by writing.
	if (::mlockall(MCL_CURRENT) == 0)
		::munlockall();
}

} // namespace pvl
