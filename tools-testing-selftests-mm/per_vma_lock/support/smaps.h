// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <string>

namespace pvl
{

/// A number of kB from this process's /proc/self/smaps, of the VMA that @p address is in, e.g.
/// "AnonHugePages". Throws Skip when smaps has no such line.
std::uint64_t smaps_kib(const void *address, const std::string &key);

/// The flags of the page mapped at @p address, bits as in linux/kernel-page-flags.h, from
/// /proc/self/pagemap and /proc/kpageflags; 0 when none is mapped. Throws Skip for lack of
/// permission.
std::uint64_t page_flags(const void *address);

/// True when all of the @p bytes from @p address on are mapped from the start of one large folio.
/// Throws Skip like page_flags().
bool is_large_folio(const std::uint8_t *address, std::size_t bytes);

/// True when the huge zero page is mapped at @p address. Throws Skip like page_flags().
bool is_huge_zero_page(const void *address);

} // namespace pvl
