// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace pvl
{

/// Bytes of a base page, sysconf(_SC_PAGESIZE).
std::size_t page_bytes();

/// Bytes of a PMD-sized transparent huge page, /sys/kernel/mm/transparent_hugepage/hpage_pmd_size;
/// 2 MiB when the kernel has none.
std::size_t pmd_bytes();

/// How a Mapping is made: the arguments of mmap(2).
struct MapRequest {
	std::size_t bytes = 0;
	int prot = PROT_READ | PROT_WRITE;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	int fd = -1;
	off_t offset = 0;
	/// Alignment of the start, a power of two, in bytes; 0 means a base page.
	std::size_t alignment = 0;
};

/// One VMA that no other VMA can merge with, unmapped by the destructor.
///
/// The mapping lies in the middle of a PROT_NONE reservation, so nothing that the C library maps
/// later becomes its neighbour. The reservation never gets an anon_vma, hence
/// find_mergeable_anon_vma() finds nothing to share in it.
class Mapping
{
    public:
	Mapping() = default;

	/// Maps as asked; throws std::system_error with mmap's errno, or Skip when there are not
	/// enough huge pages for MAP_HUGETLB.
	explicit Mapping(const MapRequest &request);

	Mapping(Mapping &&other) noexcept;
	Mapping &operator=(Mapping &&other) noexcept;
	Mapping(const Mapping &) = delete;
	Mapping &operator=(const Mapping &) = delete;
	~Mapping();

	[[nodiscard]] std::uint8_t *data() const noexcept
	{
		return data_;
	}

	/// Bytes mapped.
	[[nodiscard]] std::size_t size() const noexcept
	{
		return bytes_;
	}

	/// Address of byte @p offset.
	[[nodiscard]] std::uint8_t *at(std::size_t offset) const noexcept
	{
		return data_ + offset;
	}

	[[nodiscard]] std::span<std::uint8_t> bytes() const noexcept
	{
		return {data_, bytes_};
	}

	/// What was mapped may have been moved elsewhere: its place is not unmapped any more, since
	/// another thread may have something there by now.
	void leave_hole() noexcept
	{
		hole_ = true;
	}

	/// Unmaps everything now.
	void reset() noexcept;

    private:
	std::uint8_t *reserved_ = nullptr;
	std::size_t reserved_bytes_ = 0;
	std::uint8_t *data_ = nullptr;
	std::size_t bytes_ = 0;
	bool hole_ = false;
};

/// One load or store that the compiler can neither move nor drop: the measured user access.
[[gnu::noinline]] std::uint8_t load(const std::uint8_t *address) noexcept;
[[gnu::noinline]] void store(std::uint8_t *address, std::uint8_t value) noexcept;

} // namespace pvl
