// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/fd.h"

namespace pvl
{

/// A userfaultfd(2) of this process. Lengths are bytes; the calls that fill memory return 0 or the
/// errno of the ioctl.
class Userfault
{
    public:
	/// Opens it and does the UFFDIO_API handshake for @p features. Throws Skip when the kernel
	/// or this user cannot have it.
	explicit Userfault(std::uint64_t features = 0);

	/// UFFDIO_REGISTER; @p mode is UFFDIO_REGISTER_MODE_*. Throws Skip on EINVAL (mode not
	/// supported for this memory), std::system_error otherwise.
	void watch(const void *start, std::size_t bytes, std::uint64_t mode) const;

	/// UFFDIO_UNREGISTER.
	[[nodiscard]] int unwatch(const void *start, std::size_t bytes) const noexcept;

	/// UFFDIO_WAKE: faults in the range are tried again.
	[[nodiscard]] int wake(const void *start, std::size_t bytes) const noexcept;

	[[nodiscard]] int copy(void *to, const void *from, std::size_t bytes,
			       std::uint64_t mode = 0) const noexcept;
	[[nodiscard]] int zeropage(void *start, std::size_t bytes) const noexcept;
	[[nodiscard]] int move(void *to, void *from, std::size_t bytes) const noexcept;
	[[nodiscard]] int poison(void *start, std::size_t bytes) const noexcept;
	[[nodiscard]] int minor_continue(void *start, std::size_t bytes) const noexcept;
	/// Write-protects, or (with @p protect false) resolves and wakes.
	[[nodiscard]] int write_protect(void *start, std::size_t bytes,
					bool protect) const noexcept;

	/// Waits for the next page fault message. Returns its address, or 0 after @p timeout_ms.
	[[nodiscard]] std::uintptr_t next_fault(int timeout_ms) const;

    private:
	Fd fd_;
};

} // namespace pvl
