// SPDX-License-Identifier: GPL-2.0
//
// The fault matrix. Every case maps its memory at the same address in every
// sample, with unmapped pages on both sides, so that no neighbour can lend its
// anon_vma, and with page tables that stay (page_table_keepers()).

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "bench_case.h"
#include "support/error.h"
#include "support/setting.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

namespace pvl
{
namespace
{

constexpr int read_write = PROT_READ | PROT_WRITE;
constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr unsigned int ret_instruction = 0xc3;

/// Far from anything that the C library or the kernel places.
std::byte *arena()
{
	return reinterpret_cast<std::byte *>(0x100000000000);
}

/// Where small mappings go: 64 KiB into a page table of their own.
std::byte *small_area()
{
	return arena() + 16 * base_page_bytes;
}

/// Where huge mappings go: aligned, behind the small area.
std::byte *huge_area()
{
	return arena() + 2 * pmd_page_bytes;
}

constexpr std::size_t small_pages = 16;
constexpr Bytes small_bytes = small_pages * base_page_bytes;
/// The page that is measured: neither first nor last of its VMA.
constexpr std::size_t measured_page = 5;
/// A page that another access may have touched before.
constexpr std::size_t other_page = 2;

FixedMapping small_mapping(int protection, int flags, const Fd &file = Fd())
{
	return {small_area(), small_bytes, protection, flags, file};
}

FixedMapping huge_mapping(int flags, const Fd &file = Fd())
{
	return {huge_area(), 2 * pmd_page_bytes, read_write, flags, file};
}

void touch_write(std::byte *address)
{
	*static_cast<volatile std::byte *>(address) = std::byte{1};
}

void touch_read(const std::byte *address)
{
	static_cast<void>(*static_cast<const volatile std::byte *>(address));
}

enum class AnonVma { absent, present };

/// Gives the VMA of @memory an anon_vma by writing to its page @index.
void write_if(AnonVma state, const FixedMapping &memory, std::size_t index)
{
	if (state == AnonVma::present)
		touch_write(memory.page(index));
}

// The accesses, each on any small mapping.

using MapSmall = std::function<FixedMapping()>;

Sample first_read(MapSmall map, AnonVma state)
{
	return [map = std::move(map), state](Meter &meter) {
		const FixedMapping memory = map();
		write_if(state, memory, other_page);
		meter.read(memory.page(measured_page));
	};
}

Sample first_write(MapSmall map, AnonVma state)
{
	return [map = std::move(map), state](Meter &meter) {
		const FixedMapping memory = map();
		write_if(state, memory, other_page);
		meter.write(memory.page(measured_page));
	};
}

Sample write_after_read(MapSmall map, AnonVma state)
{
	return [map = std::move(map), state](Meter &meter) {
		const FixedMapping memory = map();
		write_if(state, memory, other_page);
		touch_read(memory.page(measured_page));
		meter.write(memory.page(measured_page));
	};
}

Sample read_then_write(MapSmall map)
{
	return [map = std::move(map)](Meter &meter) {
		const FixedMapping memory = map();
		meter.read(memory.page(measured_page));
		meter.write(memory.page(measured_page));
	};
}

Sample first_execute(MapSmall map)
{
	return [map = std::move(map)](Meter &meter) {
		const FixedMapping memory = map();
		meter.execute(memory.page(measured_page));
	};
}

/// One kind of small memory: how to map it, and what its cases are called.
void add_small_cases(std::vector<Case> &cases, const std::string &backing, const std::string &words,
		     const std::function<MapSmall()> &mapper)
{
	const auto add = [&](const std::string &access, const std::string &sentence, auto sample) {
		cases.push_back({backing + "/" + access, sentence + " " + words, Weight::light,
				 [mapper, sample] { return sample(mapper()); }});
	};

	add("first_read/no_anon_vma", "first read of a page in a fresh VMA of",
	    [](MapSmall map) { return first_read(std::move(map), AnonVma::absent); });
	add("first_read/anon_vma", "first read of a page in a written-to VMA of",
	    [](MapSmall map) { return first_read(std::move(map), AnonVma::present); });
	add("first_write/no_anon_vma", "first write to a fresh VMA of",
	    [](MapSmall map) { return first_write(std::move(map), AnonVma::absent); });
	add("first_write/anon_vma", "first write to a page in a written-to VMA of",
	    [](MapSmall map) { return first_write(std::move(map), AnonVma::present); });
	add("write_after_read/no_anon_vma", "first write to a VMA, to a page read before, of",
	    [](MapSmall map) { return write_after_read(std::move(map), AnonVma::absent); });
	add("write_after_read/anon_vma", "write to a page read before, in a written-to VMA of",
	    [](MapSmall map) { return write_after_read(std::move(map), AnonVma::present); });
	add("read_then_write/no_anon_vma",
	    "both faults of a read and then a write in a fresh VMA of",
	    [](MapSmall map) { return read_then_write(std::move(map)); });
}

void add_anonymous_cases(std::vector<Case> &cases)
{
	add_small_cases(cases, "anon", "anonymous memory",
			[] { return [] { return small_mapping(read_write, anonymous); }; });
}

void add_file_cases(std::vector<Case> &cases)
{
	const auto mapper = [](int protection, int flags) {
		return [protection, flags]() -> MapSmall {
			const auto file = std::make_shared<Fd>(filled_memfd(
				small_bytes, 0, static_cast<std::byte>(ret_instruction)));
			return [file, protection, flags] {
				return small_mapping(protection, flags, *file);
			};
		};
	};

	add_small_cases(cases, "memfd_private", "a private file mapping",
			mapper(read_write, MAP_PRIVATE));

	const auto text = mapper(PROT_READ | PROT_EXEC, MAP_PRIVATE);
	cases.push_back({"text/first_read/no_anon_vma",
			 "first read of a read-only, executable private file mapping",
			 Weight::light, [text] { return first_read(text(), AnonVma::absent); }});
	cases.push_back({"text/first_execute/no_anon_vma",
			 "first instruction fetch from an executable private file mapping",
			 Weight::light, [text] { return first_execute(text()); }});

	const auto shared = mapper(read_write, MAP_SHARED);
	cases.push_back({"memfd_shared/first_read/no_anon_vma",
			 "first read of a shared file mapping", Weight::light,
			 [shared] { return first_read(shared(), AnonVma::absent); }});
	cases.push_back({"memfd_shared/first_write/no_anon_vma",
			 "first write to a shared file mapping", Weight::light,
			 [shared] { return first_write(shared(), AnonVma::absent); }});
}

// Huge pages: the first huge page of the VMA is the other one, the second is measured.

enum class HugeAccess { read, write, write_after_read, read_then_write };

Sample huge_sample(std::function<FixedMapping()> map, AnonVma state, HugeAccess access)
{
	return [map = std::move(map), state, access](Meter &meter) {
		const FixedMapping memory = map();
		std::byte *measured = memory.start() + pmd_page_bytes + base_page_bytes;

		write_if(state, memory, 0);
		if (access == HugeAccess::write_after_read)
			touch_read(measured);
		if (access == HugeAccess::read || access == HugeAccess::read_then_write)
			meter.read(measured);
		if (access != HugeAccess::read)
			meter.write(measured);
	};
}

/// At least four huge pages in the pool while this lives; throws Skip when there are none.
std::shared_ptr<SettingGuard> huge_page_pool()
{
	const std::string path = "/proc/sys/vm/nr_hugepages";
	constexpr int needed = 4;
	const int wanted = std::max(needed, std::stoi(first_line(path)));
	auto pool = std::make_shared<SettingGuard>(path, std::to_string(wanted));

	if (std::stoi(first_line(path)) < needed)
		throw Skip("no memory for " + std::to_string(needed) + " huge pages");
	return pool;
}

void add_hugetlb_cases(std::vector<Case> &cases)
{
	struct Row {
		std::string name;
		std::string description;
		HugeAccess access;
		AnonVma state;
	};

	const auto add = [&](const std::string &backing, Weight weight, const Row &row, int flags,
			     bool with_file) {
		cases.push_back(
			{backing + "/" + row.name, row.description, weight, [=]() -> Sample {
				 const auto pool = huge_page_pool();
				 const auto file = std::make_shared<Fd>(
					 with_file ? filled_memfd(2 * pmd_page_bytes, MFD_HUGETLB,
								  std::byte{2})
						   : Fd());
				 return huge_sample(
					 [pool, file, flags] { return huge_mapping(flags, *file); },
					 row.state, row.access);
			 }});
	};
	const int private_flags = anonymous | MAP_HUGETLB;

	for (const Row &row : std::initializer_list<Row>{
		     {"first_read/no_anon_vma",
		      "first read of a private hugetlb page that is in no page cache, fresh VMA",
		      HugeAccess::read, AnonVma::absent},
		     {"first_write/no_anon_vma", "first write to a fresh private hugetlb VMA",
		      HugeAccess::write, AnonVma::absent},
		     {"first_write/anon_vma",
		      "first write to a page in a written-to private hugetlb VMA",
		      HugeAccess::write, AnonVma::present},
		     {"read_then_write/no_anon_vma",
		      "both faults of a read and then a write in a fresh private hugetlb VMA",
		      HugeAccess::read_then_write, AnonVma::absent}})
		add("hugetlb_private", Weight::heavy, row, private_flags, false);
	for (const Row &row : std::initializer_list<Row>{
		     {"first_read/no_anon_vma",
		      "first read of a cached page in a fresh private hugetlb file mapping",
		      HugeAccess::read, AnonVma::absent}})
		add("hugetlb_memfd_private", Weight::light, row, MAP_PRIVATE, true);
	for (const Row &row : std::initializer_list<Row>{
		     {"first_write/no_anon_vma",
		      "first write to a cached page in a fresh private hugetlb file mapping",
		      HugeAccess::write, AnonVma::absent},
		     {"first_write/anon_vma",
		      "first write to a cached page in a written-to private hugetlb file mapping",
		      HugeAccess::write, AnonVma::present},
		     {"write_after_read/no_anon_vma",
		      "first write to a private hugetlb file mapping, to a page read before",
		      HugeAccess::write_after_read, AnonVma::absent},
		     {"read_then_write/no_anon_vma",
		      "both faults of a read and then a write in a fresh private hugetlb file "
		      "mapping",
		      HugeAccess::read_then_write, AnonVma::absent}})
		add("hugetlb_memfd_private", Weight::heavy, row, MAP_PRIVATE, true);
	for (const Row &row : std::initializer_list<Row>{
		     {"first_read/no_anon_vma",
		      "first read of a cached page of a shared hugetlb file mapping",
		      HugeAccess::read, AnonVma::absent},
		     {"first_write/no_anon_vma",
		      "first write to a cached page of a shared hugetlb file mapping",
		      HugeAccess::write, AnonVma::absent}})
		add("hugetlb_memfd_shared", Weight::light, row, MAP_SHARED, true);
}

/// Transparent huge pages for all memory, with or without the huge zero page.
struct ThpSettings {
	explicit ThpSettings(const std::string &zero_page)
		: enabled(folder + "enabled", "always"),
		  use_zero_page(folder + "use_zero_page", zero_page)
	{
	}

	static inline const std::string folder = "/sys/kernel/mm/transparent_hugepage/";
	SettingGuard enabled;
	SettingGuard use_zero_page;
};

void add_thp_cases(std::vector<Case> &cases)
{
	struct Row {
		std::string name;
		std::string description;
		Weight weight;
		HugeAccess access;
		AnonVma state;
		std::string zero_page;
	};

	for (const Row &row : std::initializer_list<Row>{
		     {"thp/first_read/no_anon_vma", "huge zero page mapped by a read, fresh VMA",
		      Weight::light, HugeAccess::read, AnonVma::absent, "1"},
		     {"thp/first_read/anon_vma", "huge zero page mapped by a read, written-to VMA",
		      Weight::light, HugeAccess::read, AnonVma::present, "1"},
		     {"thp/write_after_read/no_anon_vma",
		      "first write to a VMA, to a huge zero page", Weight::heavy,
		      HugeAccess::write_after_read, AnonVma::absent, "1"},
		     {"thp/read_then_write/no_anon_vma",
		      "both faults of a read (huge zero page) and then a write, fresh VMA",
		      Weight::heavy, HugeAccess::read_then_write, AnonVma::absent, "1"},
		     {"thp/first_write/no_anon_vma", "transparent huge page by a write, fresh VMA",
		      Weight::heavy, HugeAccess::write, AnonVma::absent, "1"},
		     {"thp/first_write/anon_vma",
		      "transparent huge page by a write, written-to VMA", Weight::heavy,
		      HugeAccess::write, AnonVma::present, "1"},
		     {"thp_no_zero_page/first_read/no_anon_vma",
		      "transparent huge page by a read (use_zero_page=0), fresh VMA", Weight::heavy,
		      HugeAccess::read, AnonVma::absent, "0"}})
		cases.push_back(
			{row.name, row.description, row.weight, [row]() -> Sample {
				 const auto settings = std::make_shared<ThpSettings>(row.zero_page);
				 return huge_sample([settings] { return huge_mapping(anonymous); },
						    row.state, row.access);
			 }});
}

/// A userfaultfd that answers nothing by itself; throws Skip.
Fd new_userfaultfd()
{
	Fd descriptor(static_cast<int>(
		syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
	uffdio_api api{};

	api.api = UFFD_API;
	if (descriptor.get() < 0 || ioctl(descriptor.get(), UFFDIO_API, &api) != 0)
		throw Skip(std::string("userfaultfd: ") + std::strerror(errno));
	return descriptor;
}

/// UFFDIO_COPY or UFFDIO_ZEROPAGE of one page into a registered VMA.
Sample userfaultfd_sample(unsigned long operation, AnonVma state)
{
	const auto descriptor = std::make_shared<Fd>(new_userfaultfd());
	const auto source =
		std::make_shared<std::vector<std::byte>>(2 * base_page_bytes, std::byte{3});

	return [=](Meter &meter) {
		const FixedMapping memory = small_mapping(read_write, anonymous);
		const auto page_of = [&](std::size_t index) {
			return reinterpret_cast<std::uint64_t>(memory.page(index));
		};
		const auto source_page =
			(reinterpret_cast<std::uint64_t>(source->data()) + base_page_bytes - 1) &
			~(base_page_bytes - 1);
		write_if(state, memory, other_page);

		uffdio_register range{};
		range.range = {page_of(0), small_bytes};
		range.mode = UFFDIO_REGISTER_MODE_MISSING;
		if (ioctl(descriptor->get(), UFFDIO_REGISTER, &range) != 0)
			throw Skip(std::string("UFFDIO_REGISTER: ") + std::strerror(errno));

		uffdio_copy copy{};
		copy.dst = page_of(measured_page);
		copy.src = source_page;
		copy.len = base_page_bytes;
		uffdio_zeropage zero{};
		zero.range = {page_of(measured_page), base_page_bytes};
		void *argument = operation == UFFDIO_COPY ? static_cast<void *>(&copy)
							  : static_cast<void *>(&zero);
		meter.system_call("userfaultfd ioctl", SYS_ioctl,
				  static_cast<std::uint64_t>(descriptor->get()), operation,
				  reinterpret_cast<std::uint64_t>(argument));
	};
}

void add_userfaultfd_cases(std::vector<Case> &cases)
{
	cases.push_back({"uffd_copy/no_anon_vma", "UFFDIO_COPY of a page into a fresh VMA",
			 Weight::light,
			 [] { return userfaultfd_sample(UFFDIO_COPY, AnonVma::absent); }});
	cases.push_back({"uffd_copy/anon_vma", "UFFDIO_COPY of a page into a written-to VMA",
			 Weight::light,
			 [] { return userfaultfd_sample(UFFDIO_COPY, AnonVma::present); }});
	cases.push_back({"uffd_zeropage/no_anon_vma", "UFFDIO_ZEROPAGE into a fresh VMA",
			 Weight::light,
			 [] { return userfaultfd_sample(UFFDIO_ZEROPAGE, AnonVma::absent); }});
}

/// madvise(2) of one page; a kernel that does not know @advice cannot run the case.
Sample advice_sample(MapSmall map, int advice, AnonVma state)
{
	{
		const FixedMapping trial = map();
		if (madvise(trial.page(0), base_page_bytes, advice) != 0)
			throw Skip("madvise " + std::to_string(advice) + ": " +
				   std::strerror(errno));
	}
	return [map = std::move(map), advice, state](Meter &meter) {
		const FixedMapping memory = map();
		write_if(state, memory, other_page);
		meter.system_call("madvise", SYS_madvise,
				  reinterpret_cast<std::uint64_t>(memory.page(measured_page)),
				  base_page_bytes, static_cast<std::uint64_t>(advice));
	};
}

void add_madvise_cases(std::vector<Case> &cases)
{
	const auto anon = [] { return small_mapping(read_write, anonymous); };
	const auto file = []() -> MapSmall {
		const auto memfd = std::make_shared<Fd>(filled_memfd(small_bytes, 0, std::byte{4}));
		return [memfd] { return small_mapping(read_write, MAP_PRIVATE, *memfd); };
	};

	cases.push_back(
		{"guard_install/no_anon_vma", "MADV_GUARD_INSTALL on a fresh VMA", Weight::light,
		 [anon] { return advice_sample(anon, MADV_GUARD_INSTALL, AnonVma::absent); }});
	cases.push_back(
		{"guard_install/anon_vma", "MADV_GUARD_INSTALL on a written-to VMA", Weight::light,
		 [anon] { return advice_sample(anon, MADV_GUARD_INSTALL, AnonVma::present); }});
	cases.push_back(
		{"guard_install_memfd/no_anon_vma",
		 "MADV_GUARD_INSTALL on a fresh private file mapping", Weight::light,
		 [file] { return advice_sample(file(), MADV_GUARD_INSTALL, AnonVma::absent); }});
	cases.push_back(
		{"populate_read/no_anon_vma",
		 "MADV_POPULATE_READ of an anonymous page, fresh VMA (GUP)", Weight::light,
		 [anon] { return advice_sample(anon, MADV_POPULATE_READ, AnonVma::absent); }});
	cases.push_back(
		{"populate_write/no_anon_vma",
		 "MADV_POPULATE_WRITE of an anonymous page, fresh VMA (GUP)", Weight::light,
		 [anon] { return advice_sample(anon, MADV_POPULATE_WRITE, AnonVma::absent); }});
}

} // namespace

std::vector<Case> fault_cases()
{
	std::vector<Case> cases;

	add_anonymous_cases(cases);
	add_file_cases(cases);
	add_hugetlb_cases(cases);
	add_thp_cases(cases);
	add_userfaultfd_cases(cases);
	add_madvise_cases(cases);
	return cases;
}

std::vector<FixedMapping> page_table_keepers()
{
	std::vector<FixedMapping> keepers;

	// One page before and one behind the small area in its page table; the
	// first and the last huge page of the neighbourhood for the tables above.
	for (std::byte *address :
	     {arena(), arena() + pmd_page_bytes - base_page_bytes, arena() + 8 * pmd_page_bytes}) {
		keepers.emplace_back(address, base_page_bytes, read_write,
				     MAP_SHARED | MAP_ANONYMOUS, Fd());
		touch_write(address);
	}
	return keepers;
}

} // namespace pvl
