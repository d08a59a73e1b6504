// SPDX-License-Identifier: GPL-2.0
#include "support/smaps.h"

#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "support/error.h"
#include "support/fd.h"
#include "support/mapping.h"

namespace pvl
{

namespace
{

// Documentation/admin-guide/mm/pagemap.rst
constexpr std::uint64_t pagemap_present = std::uint64_t{1} << 63;
constexpr std::uint64_t pagemap_pfn = (std::uint64_t{1} << 55) - 1;

std::uint64_t entry_of(const char *path, std::uint64_t index)
{
	const Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
	std::uint64_t entry = 0;
	if (!fd || ::pread(fd.get(), &entry, sizeof(entry),
			   static_cast<off_t>(index * sizeof(entry))) != sizeof(entry))
		throw Skip(std::string("cannot read ") + path);
	return entry;
}

bool starts_vma(const std::string &line, std::uintptr_t address)
{
	std::istringstream text(line);
	std::uintptr_t start = 0;
	std::uintptr_t end = 0;
	char dash = 0;
	return (text >> std::hex >> start >> dash >> end) && dash == '-' && start <= address &&
	       address < end;
}

} // namespace

std::uint64_t smaps_kib(const void *address, const std::string &key)
{
	const auto wanted = reinterpret_cast<std::uintptr_t>(address);
	std::ifstream file("/proc/self/smaps");
	bool inside = false;

	for (std::string line; std::getline(file, line);) {
		std::istringstream words(line);
		std::string name;
		std::uint64_t value = 0;
		inside = inside || starts_vma(line, wanted);
		if (inside && (words >> name >> value) && name == key + ':')
			return value;
	}
	throw Skip("no " + key + " in /proc/self/smaps");
}

std::uint64_t page_flags(const void *address)
{
	const auto page = reinterpret_cast<std::uintptr_t>(address) / page_bytes();
	const std::uint64_t entry = entry_of("/proc/self/pagemap", page);

	if ((entry & pagemap_present) == 0)
		return 0;
	if ((entry & pagemap_pfn) == 0)
		throw Skip("/proc/self/pagemap hides page frame numbers from this user");
	return entry_of("/proc/kpageflags", entry & pagemap_pfn);
}

bool is_large_folio(const std::uint8_t *address, std::size_t bytes)
{
	for (std::size_t at = 0; at < bytes; at += page_bytes()) {
		const int wanted = at == 0 ? KPF_COMPOUND_HEAD : KPF_COMPOUND_TAIL;
		if ((page_flags(address + at) >> wanted & 1) == 0)
			return false;
	}
	return true;
}

bool is_huge_zero_page(const void *address)
{
	constexpr std::uint64_t wanted =
		(std::uint64_t{1} << KPF_ZERO_PAGE) | (std::uint64_t{1} << KPF_THP);
	return (page_flags(address) & wanted) == wanted;
}

} // namespace pvl
