// SPDX-License-Identifier: GPL-2.0
#include "contention.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <thread>

#include "fault_events.h"
#include "fixed_mapping.h"
#include "json.h"
#include "support/error.h"
#include "tick_clock.h"
#include "vmstat.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

namespace pvl
{

namespace
{

constexpr int read_write = PROT_READ | PROT_WRITE;
constexpr Bytes thread_area_bytes = Bytes{1} << 36;

void write_byte(std::byte *address)
{
	*static_cast<volatile std::byte *>(address) = std::byte{1};
}

void read_byte(std::byte *address)
{
	static_cast<void>(*static_cast<volatile std::byte *>(address));
}

/// What a thread needs to fault one kind of memory; made once a thread.
struct Faulter {
	Bytes vma_bytes;   ///< of each fresh VMA; as much is left unmapped behind it
	std::size_t batch; ///< VMAs that are mapped, faulted and unmapped together
	int flags;	   ///< of mmap(2)
	Fd file;	   ///< what is mapped; none: anonymous memory
	Fd userfaultfd;	   ///< what fresh VMAs are registered with, if anything
	std::function<void(std::byte *)> fault;
};

Faulter anonymous_faulter(std::function<void(std::byte *)> fault)
{
	return {base_page_bytes, 512, MAP_PRIVATE | MAP_ANONYMOUS, {}, {}, std::move(fault)};
}

Faulter file_faulter(std::function<void(std::byte *)> fault)
{
	return {base_page_bytes,
		512,
		MAP_PRIVATE,
		filled_memfd(base_page_bytes, 0, std::byte{1}),
		{},
		std::move(fault)};
}

Faulter copy_faulter()
{
	Fd descriptor(static_cast<int>(
		::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
	uffdio_api api{};

	api.api = UFFD_API;
	if (!descriptor || ::ioctl(descriptor.get(), UFFDIO_API, &api) != 0)
		throw Skip(std::string("userfaultfd: ") + std::strerror(errno));

	alignas(base_page_bytes) static std::byte source[base_page_bytes] = {std::byte{1}};
	const int number = descriptor.get();
	Faulter faulter = anonymous_faulter([number](std::byte *address) {
		uffdio_copy copy{};
		copy.dst = reinterpret_cast<std::uintptr_t>(address);
		copy.src = reinterpret_cast<std::uintptr_t>(source);
		copy.len = base_page_bytes;
		// EAGAIN: the layout of the process is changing. What it costs to try again belongs
		// to the measurement.
		while (::ioctl(number, UFFDIO_COPY, &copy) != 0) {
			if (errno != EAGAIN)
				throw_errno("UFFDIO_COPY");
			copy.copy = 0;
		}
	});
	faulter.userfaultfd = std::move(descriptor);
	return faulter;
}

Faulter guard_faulter()
{
	Faulter faulter = anonymous_faulter([](std::byte *address) {
		checked(::madvise(address, base_page_bytes, MADV_GUARD_INSTALL),
			"madvise MADV_GUARD_INSTALL");
	});
	return faulter;
}

Faulter huge_faulter(std::function<void(std::byte *)> fault)
{
	Faulter faulter = anonymous_faulter(std::move(fault));

	faulter.vma_bytes = pmd_page_bytes;
	faulter.batch = 64;
	return faulter;
}

struct Kind {
	const char *name;
	Faulter (*faulter)();
};

constexpr Kind kinds[] = {
	{"anon/first_read", [] { return anonymous_faulter(read_byte); }},
	{"anon/first_write", [] { return anonymous_faulter(write_byte); }},
	{"memfd_private/first_read", [] { return file_faulter(read_byte); }},
	{"memfd_private/first_write", [] { return file_faulter(write_byte); }},
	{"thp/first_read", [] { return huge_faulter(read_byte); }},
	{"uffd_copy", copy_faulter},
	{"guard_install", guard_faulter},
};

/// Fresh VMAs of one thread: mapped by the constructor, unmapped by the destructor.
class Batch
{
    public:
	Batch(const Faulter &faulter, std::byte *area)
	{
		vmas_.reserve(faulter.batch);
		for (std::size_t index = 0; index < faulter.batch; index++) {
			vmas_.emplace_back(area + index * 2 * faulter.vma_bytes, faulter.vma_bytes,
					   read_write, faulter.flags, faulter.file);
			if (faulter.userfaultfd)
				register_with(faulter.userfaultfd, vmas_.back().start(),
					      faulter.vma_bytes);
		}
	}

	[[nodiscard]] const std::vector<FixedMapping> &vmas() const noexcept
	{
		return vmas_;
	}

    private:
	static void register_with(const Fd &userfaultfd, std::byte *start, Bytes length)
	{
		uffdio_register range{};

		range.range = {reinterpret_cast<std::uintptr_t>(start), length};
		range.mode = UFFDIO_REGISTER_MODE_MISSING;
		checked(::ioctl(userfaultfd.get(), UFFDIO_REGISTER, &range), "UFFDIO_REGISTER");
	}

	std::vector<FixedMapping> vmas_;
};

/// Takes mmap_lock for write over and over; holds it while the protection of many pages changes.
class Writer
{
    public:
	Writer()
	{
		thread_ = std::jthread([this](const std::stop_token &stop) {
			while (!stop.stop_requested()) {
				// One bit in two of the protection differs: every page table entry
				// has to be written.
				::mprotect(memory_.start(), bytes, PROT_READ);
				::mprotect(memory_.start(), bytes, read_write);
				locks_ += 2;
			}
		});
	}

	[[nodiscard]] std::uint64_t locks() const noexcept
	{
		return locks_;
	}

    private:
	static constexpr Bytes bytes = 256 * base_page_bytes;

	FixedMapping memory_{reinterpret_cast<std::byte *>(0x400000000000), bytes, read_write,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, Fd()};
	std::atomic<std::uint64_t> locks_ = 0;
	std::jthread thread_;
};

/// What one faulting thread found.
struct Found {
	std::vector<std::uint64_t> latencies; ///< ticks
	EventCounts events;
	std::string problem;
};

using Deadline = std::chrono::steady_clock::time_point;

void fault_for(const Faulter &faulter, std::byte *area, Deadline deadline, Found &found)
{
	while (std::chrono::steady_clock::now() < deadline) {
		const Batch batch(faulter, area);

		for (const FixedMapping &vma : batch.vmas()) {
			const std::uint64_t start = ticks_now();
			faulter.fault(vma.start());
			found.latencies.push_back(ticks_now() - start);
		}
	}
}

void count_for(const Faulter &faulter, std::byte *area, Deadline deadline, Found &found)
{
	FaultEvents events;

	while (std::chrono::steady_clock::now() < deadline) {
		const Batch batch(faulter, area);

		events.measure(found.events, [&] {
			for (const FixedMapping &vma : batch.vmas())
				faulter.fault(vma.start());
		});
		found.latencies.resize(found.latencies.size() + faulter.batch);
	}
}

using Pass = void (*)(const Faulter &, std::byte *, Deadline, Found &);

/// Runs @p pass in every thread; throws what the first thread in trouble met.
Found all_threads(const Kind &kind, unsigned int threads, std::chrono::milliseconds duration,
		  Pass pass)
{
	auto *const area = reinterpret_cast<std::byte *>(0x500000000000);
	std::vector<Found> founds(threads);
	const Deadline deadline = std::chrono::steady_clock::now() + duration;
	{
		std::vector<std::jthread> faulting;
		for (unsigned int thread = 0; thread < threads; thread++)
			faulting.emplace_back([&, thread] {
				try {
					pass(kind.faulter(), area + thread * thread_area_bytes,
					     deadline, founds[thread]);
				} catch (const std::exception &problem) {
					founds[thread].problem = problem.what();
				}
			});
	}

	Found sum;
	for (const Found &found : founds) {
		if (!found.problem.empty())
			throw Skip(found.problem);
		sum.latencies.insert(sum.latencies.end(), found.latencies.begin(),
				     found.latencies.end());
		sum.events.resize(found.events.size(), 0);
		for (std::size_t event = 0; event < found.events.size(); event++)
			if (sum.events[event] && found.events[event])
				*sum.events[event] += *found.events[event];
			else
				sum.events[event].reset();
	}
	if (sum.latencies.empty())
		throw std::runtime_error("no fault was finished in time");
	return sum;
}

std::optional<std::uint64_t> named(const EventCounts &counts, const std::string &name)
{
	const auto &names = FaultEvents::names();
	const auto place = std::find(names.begin(), names.end(), name);

	return counts.at(static_cast<std::size_t>(place - names.begin()));
}

} // namespace

std::vector<std::string> contention_kinds()
{
	std::vector<std::string> names;

	for (const Kind &kind : kinds)
		names.emplace_back(kind.name);
	return names;
}

std::string measure_contention(const std::string &kind_name, unsigned int threads,
			       std::chrono::milliseconds duration)
{
	const auto *const kind =
		std::find_if(std::begin(kinds), std::end(kinds),
			     [&](const Kind &known) { return known.name == kind_name; });
	if (kind == std::end(kinds))
		throw std::invalid_argument("unknown kind of fault '" + kind_name + "'");

	constexpr std::uint64_t high_percentile = 99;
	constexpr std::uint64_t percent = 100;
	constexpr double nanoseconds = 1e9;
	const Writer writer;
	const TickClock clock;
	const VmStat before;
	const std::uint64_t locks_before = writer.locks();
	Found timed = all_threads(*kind, threads, duration, fault_for);
	const std::uint64_t locks = writer.locks() - locks_before;
	const VmStat after;
	const double tick = clock.nanoseconds_per_tick();
	const Found counted = all_threads(*kind, threads, duration / 4, count_for);

	auto &sorted = timed.latencies;
	std::sort(sorted.begin(), sorted.end());
	double sum = 0;
	for (const std::uint64_t latency : sorted)
		sum += static_cast<double>(latency) * tick;
	const auto in_nanoseconds = [&](std::uint64_t ticks) {
		return std::to_string(
			static_cast<std::uint64_t>(static_cast<double>(ticks) * tick));
	};
	const auto faults = static_cast<double>(sorted.size());

	std::string text =
		"\"faults\":" + std::to_string(sorted.size()) + ",\"faults_per_second\":" +
		std::to_string(static_cast<std::uint64_t>(faults * threads / sum * nanoseconds)) +
		",\"p50_ns\":" + in_nanoseconds(sorted[sorted.size() / 2]) + ",\"p99_ns\":" +
		in_nanoseconds(sorted[(sorted.size() - 1) * high_percentile / percent]) +
		",\"max_ns\":" + in_nanoseconds(sorted.back()) + ",\"write_locks_per_second\":" +
		std::to_string(static_cast<std::uint64_t>(
			static_cast<double>(locks) /
			std::chrono::duration<double>(duration).count())) +
		vma_lock_members(before, after);

	const auto all = named(counted.events, "mmap_lock");
	const auto tries = named(counted.events, "mmap_trylock");
	constexpr std::uint64_t thousand = 1000;
	text += ",\"blocking_locks_per_1000_faults\":";
	text += all && tries ? std::to_string((*all - std::min(*all, *tries)) * thousand /
					      counted.latencies.size())
			     : "null";
	return text;
}

} // namespace pvl
