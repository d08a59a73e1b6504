// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstddef>
#include <utility>

#include "support/fd.h"

namespace pvl
{

using Bytes = std::size_t;

constexpr Bytes base_page_bytes = 4096;			///< x86-64
constexpr Bytes pmd_page_bytes = 512 * base_page_bytes; ///< x86-64

/// A mapping at a chosen address that was free, unmapped by the destructor.
///
/// Mapping (support/mapping.h) lets the kernel choose. What is to cost the same number of
/// instructions every time needs the same address every time.
class FixedMapping
{
    public:
	/// mmap(2) with MAP_FIXED_NOREPLACE; throws std::system_error when the kernel refuses.
	FixedMapping(std::byte *address, Bytes length, int protection, int flags, const Fd &file);

	FixedMapping(FixedMapping &&other) noexcept
		: start_(std::exchange(other.start_, nullptr)), length_(other.length_)
	{
	}

	FixedMapping(const FixedMapping &) = delete;
	FixedMapping &operator=(const FixedMapping &) = delete;
	FixedMapping &operator=(FixedMapping &&) = delete;
	~FixedMapping();

	[[nodiscard]] std::byte *start() const noexcept
	{
		return start_;
	}

	/// Start of base page @p index.
	[[nodiscard]] std::byte *page(std::size_t index) const noexcept
	{
		return start_ + index * base_page_bytes;
	}

    private:
	std::byte *start_;
	Bytes length_;
};

/// A memory file of @p length bytes, every page in the page cache and full of @p fill.
/// @p memfd_flags as for memfd_create(2). Throws std::system_error.
Fd filled_memfd(Bytes length, unsigned int memfd_flags, std::byte fill);

} // namespace pvl
