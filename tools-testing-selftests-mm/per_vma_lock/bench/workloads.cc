// SPDX-License-Identifier: GPL-2.0
//
// Our own implementation of known patterns, each named after the program that has it. A worker does
// rounds until it is told to stop and returns how many operations a round had.
#include "workloads.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>

#include "fixed_mapping.h"
#include "support/error.h"
#include "vmstat.h"

namespace pvl
{

namespace
{

constexpr int read_write = PROT_READ | PROT_WRITE;
constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr Bytes thread_area_bytes = Bytes{1} << 37;

void write_byte(std::byte *address)
{
	*static_cast<volatile std::byte *>(address) = std::byte{1};
}

void read_byte(const std::byte *address)
{
	static_cast<void>(*static_cast<const volatile std::byte *>(address));
}

using Round = std::function<unsigned int()>;

/// A round maps @p pages pages, writes to each, unmaps them.
Round write_all_pages(std::byte *area, int flags, const std::shared_ptr<Fd> &file)
{
	constexpr unsigned int pages = 1024;

	return [area, flags, file] {
		const FixedMapping memory(area, pages * base_page_bytes, read_write, flags, *file);
		for (unsigned int page = 0; page < pages; page++)
			write_byte(memory.page(page));
		return pages;
	};
}

std::shared_ptr<Fd> file_of_pages()
{
	constexpr unsigned int pages = 1024;

	return std::make_shared<Fd>(filled_memfd(pages * base_page_bytes, 0, std::byte{1}));
}

/// will-it-scale page_fault1: every page of a private anonymous mapping is written once.
Round page_fault1(std::byte *area)
{
	return write_all_pages(area, anonymous, std::make_shared<Fd>());
}

/// will-it-scale page_fault2: every page of a private file mapping is written once.
Round page_fault2(std::byte *area)
{
	return write_all_pages(area, MAP_PRIVATE, file_of_pages());
}

/// will-it-scale page_fault3: every page of a shared file mapping is written once.
Round page_fault3(std::byte *area)
{
	return write_all_pages(area, MAP_SHARED, file_of_pages());
}

/// A round maps many small areas with holes between them, touches each, unmaps them.
Round touch_many(std::byte *area, unsigned int count, Bytes length, int protection, int flags,
		 std::shared_ptr<Fd> file, std::function<void(std::byte *)> touch)
{
	return [=, file = std::move(file), touch = std::move(touch)] {
		std::vector<FixedMapping> memory;

		memory.reserve(count);
		for (Bytes index = 0; index < count; index++)
			memory.emplace_back(area + index * 2 * length, length, protection, flags,
					    *file);
		for (const FixedMapping &mapping : memory)
			touch(mapping.start());
		return count;
	};
}

/// vm-scalability small-allocs-mt: threads allocate small anonymous areas that are only read.
Round small_allocs_mt(std::byte *area)
{
	return touch_many(area, 500, 4 * base_page_bytes, read_write, anonymous,
			  std::make_shared<Fd>(), read_byte);
}

/// As malloc does it: threads allocate small areas and write to them for the first time.
Round malloc_first_touch(std::byte *area)
{
	return touch_many(area, 500, 32 * base_page_bytes, read_write, anonymous,
			  std::make_shared<Fd>(), write_byte);
}

/// Start of a program with very many libraries: 10,000 read-only executable file mappings are read.
Round text_storm(std::byte *area)
{
	return touch_many(area, 10000, base_page_bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE,
			  std::make_shared<Fd>(filled_memfd(base_page_bytes, 0, std::byte{1})),
			  read_byte);
}

/// Start of a program with big, sparse tables: huge zero pages are read, one in 32 is written.
Round thp_read_mostly(std::byte *area)
{
	constexpr unsigned int count = 64;
	constexpr unsigned int one_in = 32;
	constexpr auto start = pmd_page_bytes;

	return [area] {
		std::vector<FixedMapping> memory;

		memory.reserve(count);
		for (Bytes index = 0; index < count; index++)
			memory.emplace_back(area + start + index * 2 * pmd_page_bytes,
					    pmd_page_bytes, read_write, anonymous | MAP_NORESERVE,
					    Fd());
		for (const FixedMapping &mapping : memory)
			read_byte(mapping.start());
		for (unsigned int index = 0; index < count; index += one_in)
			write_byte(memory[index].start());
		return count;
	};
}

struct Workload {
	const char *name;
	Round (*round)(std::byte *area);
};

constexpr Workload workloads[] = {
	{"will-it-scale/page_fault1", page_fault1},
	{"will-it-scale/page_fault2", page_fault2},
	{"will-it-scale/page_fault3", page_fault3},
	{"vm-scalability/small-allocs-mt", small_allocs_mt},
	{"malloc-first-touch", malloc_first_touch},
	{"text-storm", text_storm},
	{"thp-read-mostly", thp_read_mostly},
};

} // namespace

std::vector<std::string> workload_names()
{
	std::vector<std::string> names;

	for (const Workload &workload : workloads)
		names.emplace_back(workload.name);
	return names;
}

std::string measure_workload(const std::string &name, unsigned int threads,
			     std::chrono::milliseconds duration)
{
	const auto *const workload =
		std::find_if(std::begin(workloads), std::end(workloads),
			     [&](const Workload &known) { return known.name == name; });
	if (workload == std::end(workloads))
		throw std::invalid_argument("unknown workload '" + name + "'");

	auto *const area = reinterpret_cast<std::byte *>(0x500000000000);
	std::atomic<std::uint64_t> operations = 0;
	std::atomic<unsigned int> failed = 0;
	const VmStat before;
	const auto start = std::chrono::steady_clock::now();
	{
		std::vector<std::jthread> workers;
		for (unsigned int thread = 0; thread < threads; thread++)
			workers.emplace_back([&, thread] {
				try {
					const Round round =
						workload->round(area + thread * thread_area_bytes);
					while (std::chrono::steady_clock::now() < start + duration)
						operations += round();
				} catch (const std::exception &) {
					failed++;
				}
			});
	}
	const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
	const VmStat after;
	if (failed != 0)
		throw std::runtime_error(name + ": " + std::to_string(failed) +
					 " threads failed (memory, vm.max_map_count?)");
	return "\"operations\":" + std::to_string(operations) + ",\"per_second\":" +
	       std::to_string(static_cast<std::uint64_t>(static_cast<double>(operations) /
							 passed.count())) +
	       vma_lock_members(before, after);
}

} // namespace pvl
