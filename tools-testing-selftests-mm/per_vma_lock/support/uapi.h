// SPDX-License-Identifier: GPL-2.0
#pragma once

// User interfaces of the kernel that may be newer than the installed headers. Numbers and layouts:
// include/uapi/asm-generic/mman-common.h, include/uapi/linux/userfaultfd.h,
// include/uapi/linux/mman.h, mm/gup_test.h.

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "support/fd.h"

namespace pvl::uapi
{

inline constexpr int madv_free = 8;
inline constexpr int madv_mergeable = 12;
inline constexpr int madv_hugepage = 14;
inline constexpr int madv_nohugepage = 15;
inline constexpr int madv_cold = 20;
inline constexpr int madv_pageout = 21;
inline constexpr int madv_populate_read = 22;
inline constexpr int madv_populate_write = 23;
inline constexpr int madv_collapse = 25;
inline constexpr int madv_guard_install = 102;
inline constexpr int madv_guard_remove = 103;

inline constexpr int bus_mceerr_ar = 4; // BUS_MCEERR_AR: hidden by glibc in strict modes

inline constexpr int map_droppable = 0x08;
inline constexpr int map_huge_1gb = 30 << 26;
inline constexpr int mremap_dontunmap = 4;

inline constexpr int userfault_user_mode_only = 1; // UFFD_USER_MODE_ONLY, flag of userfaultfd(2)

// struct uffdio_poison, Linux 6.6
struct UffdioPoison {
	std::uint64_t start;
	std::uint64_t len;
	std::uint64_t mode;
	std::int64_t updated;
};

// struct uffdio_move, Linux 6.8
struct UffdioMove {
	std::uint64_t dst;
	std::uint64_t src;
	std::uint64_t len;
	std::uint64_t mode;
	std::int64_t move;
};

inline constexpr unsigned long uffdio_move = _IOWR(UFFDIO, 0x05, UffdioMove);
inline constexpr unsigned long uffdio_poison = _IOWR(UFFDIO, 0x08, UffdioPoison);

inline constexpr std::uint64_t uffd_feature_poison = 1ULL << 14;
inline constexpr std::uint64_t uffd_feature_move = 1ULL << 16;

// struct pin_longterm_test; the read takes the address of an address
struct PinLongtermTest {
	std::uint64_t addr;
	std::uint64_t size;
	std::uint32_t flags; ///< 0: pin for reading
};

inline constexpr unsigned long pin_longterm_test_start = _IOW('g', 7, PinLongtermTest);
inline constexpr unsigned long pin_longterm_test_read = _IOW('g', 9, std::uint64_t);

/// process_madvise(2) of this process, by a pidfd. Returns what the system call returns: the number
/// of bytes advised, or -1 and errno.
inline long process_madvise_self(void *start, std::size_t bytes, int advice) noexcept
{
	const Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
	const iovec part{start, bytes};
	return ::syscall(SYS_process_madvise, self.get(), &part, 1, advice, 0);
}

} // namespace pvl::uapi
