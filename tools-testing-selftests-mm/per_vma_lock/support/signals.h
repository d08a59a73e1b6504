// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <csetjmp>
#include <csignal>
#include <optional>

namespace pvl
{

/// A signal that an access to memory caused: the siginfo_t fields that tell why and where.
struct Caught {
	int number = 0;
	int code = 0;
	const void *address = nullptr;

	/// Whether it is in the page of @p byte: an s390 tells no more than the page.
	[[nodiscard]] bool in_page_of(const void *byte) const;
};

namespace detail
{
/// Where the calling thread goes on after a signal, and the signal.
struct Landing {
	sigjmp_buf place;
	bool armed = false;
	Caught caught;
};

/// The calling thread's landing, with a signal stack that never faults and the process's handlers
/// for SIGSEGV and SIGBUS in place. Throws std::system_error.
Landing &landing();
} // namespace detail

/// Runs @p access, which must own nothing that a jump out of it would leak, and returns the SIGSEGV
/// or SIGBUS that it ended with, or nothing. Any thread may call it.
template <typename Access> std::optional<Caught> signal_of(const Access &access)
{
	detail::Landing &here = detail::landing();

	if (sigsetjmp(here.place, 1) != 0) {
		here.armed = false;
		return here.caught;
	}
	here.armed = true;
	access();
	here.armed = false;
	return std::nullopt;
}

} // namespace pvl
