// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

namespace pvl
{

/// What the running machine or kernel lacks. Thrown anywhere in a test, it makes the runner
/// report "ok N name # SKIP reason"; what() is the reason, one line.
class Skip : public std::runtime_error
{
    public:
	using std::runtime_error::runtime_error;
};

/// Throws std::system_error for the current errno; @p what names the call and its object.
[[noreturn]] inline void throw_errno(const std::string &what)
{
	throw std::system_error(errno, std::generic_category(), what);
}

/// Passes a system call's result through; throws std::system_error when it is -1.
template <typename T> T checked(T result, const char *what)
{
	if (result == static_cast<T>(-1))
		throw_errno(what);
	return result;
}

/// Like checked(), but throws Skip where errno means that this kernel does not have, or this user
/// may not have, what @p what names.
template <typename T> T supported(T result, const std::string &what)
{
	if (result != static_cast<T>(-1))
		return result;
	if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ||
	    errno == EACCES)
		throw Skip(what + ": " + std::strerror(errno));
	throw_errno(what);
}

/// The same for MADV_COLLAPSE: throws Skip where a huge page, the pages to collapse or, in a
/// sandbox, process_madvise(2) cannot be had. EINVAL is an error: every kernel with the tested code
/// has MADV_COLLAPSE.
template <typename T> T collapsed(T result)
{
	if (result == static_cast<T>(-1) && (errno == ENOMEM || errno == EBUSY || errno == EAGAIN ||
					     errno == ENOSYS || errno == EPERM))
		throw Skip(std::string("MADV_COLLAPSE: ") + std::strerror(errno));
	return checked(result, "MADV_COLLAPSE");
}

/// The same as supported() for mmap(2) and mremap(2).
inline void *supported(void *result, const std::string &what)
{
	supported(result == MAP_FAILED ? -1 : 0, what);
	return result;
}

} // namespace pvl
