// SPDX-License-Identifier: GPL-2.0
//
// What reads of the huge zero page leave behind, as one JSON line on stdout.
#include <sys/mman.h>

#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "fault_events.h"
#include "fixed_mapping.h"
#include "json.h"
#include "support/error.h"
#include "support/setting.h"

namespace pvl
{

namespace
{

constexpr std::size_t mappings = 2000;
constexpr int read_write = PROT_READ | PROT_WRITE;
constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

std::byte *area()
{
	return reinterpret_cast<std::byte *>(0x300000000000);
}

/// Lines of /proc/self/maps: the VMAs of this process.
std::uint64_t vmas()
{
	std::ifstream maps("/proc/self/maps");
	std::uint64_t lines = 0;

	for (std::string line; std::getline(maps, line);)
		lines++;
	return lines;
}

/// Bytes of slab memory in use, /proc/meminfo.
std::uint64_t slab_bytes()
{
	constexpr std::uint64_t kib = 1024;
	std::ifstream meminfo("/proc/meminfo");

	for (std::string line; std::getline(meminfo, line);)
		if (line.starts_with("Slab:"))
			return std::stoull(line.substr(line.find(':') + 1)) * kib;
	throw Skip("/proc/meminfo has no line Slab:");
}

void read_byte(const std::byte *address)
{
	static_cast<void>(*static_cast<const volatile std::byte *>(address));
}

/// Reads of one huge page in each of many VMAs with holes between them.
std::string after_many_reads()
{
	const Bytes distance = 2 * pmd_page_bytes;
	std::vector<FixedMapping> memory;

	memory.reserve(mappings);
	for (std::size_t index = 0; index < mappings; index++)
		memory.emplace_back(area() + index * distance, pmd_page_bytes, read_write,
				    anonymous, Fd());

	FaultEvents events;
	EventCounts counts;
	const std::uint64_t slab = slab_bytes();
	events.measure(counts, [&] {
		for (const FixedMapping &mapping : memory)
			read_byte(mapping.start());
	});
	std::string text = "\"reads\":" + std::to_string(mappings) + ",\"slab_bytes_more\":" +
			   std::to_string(static_cast<std::int64_t>(slab_bytes() - slab));
	for (std::size_t event = 0; event < counts.size(); event++)
		text += ',' + json(FaultEvents::names()[event]) + ':' + json(counts[event]);
	return text;
}

/// Two VMAs are read, a third one then fills the hole between them: how many VMAs are these three
/// afterwards? One, if they could merge: two anon_vmas keep them apart.
std::uint64_t vmas_after_merge()
{
	const FixedMapping left(area(), pmd_page_bytes, read_write, anonymous, Fd());
	const FixedMapping right(area() + 2 * pmd_page_bytes, pmd_page_bytes, read_write, anonymous,
				 Fd());
	const std::uint64_t others = vmas() - 2;

	read_byte(left.start());
	read_byte(right.start());
	const FixedMapping middle(area() + pmd_page_bytes, pmd_page_bytes, read_write, anonymous,
				  Fd());
	return vmas() - others;
}

} // namespace

} // namespace pvl

int main()
{
	using namespace pvl;

	try {
		const std::string folder = "/sys/kernel/mm/transparent_hugepage/";

		SettingJournal::create();
		const SettingGuard enabled(folder + "enabled", "always");
		const SettingGuard zero_page(folder + "use_zero_page", "1");
		std::cout << '{' << after_many_reads()
			  << ",\"vmas_of_three_neighbours\":" << vmas_after_merge() << '}'
			  << std::endl;
		return 0;
	} catch (const std::exception &problem) {
		std::cerr << "fault_memory: " << problem.what() << '\n';
		return 1;
	}
}
