// SPDX-License-Identifier: GPL-2.0
#include "support/userfault.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "support/error.h"
#include "support/uapi.h"

namespace pvl
{

namespace
{

std::uint64_t number(const void *address)
{
	return reinterpret_cast<std::uintptr_t>(address);
}

template <typename Argument> int call(const Fd &fd, unsigned long request, Argument &argument)
{
	return ::ioctl(fd.get(), request, &argument) == 0 ? 0 : errno;
}

} // namespace

Userfault::Userfault(std::uint64_t features)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;
	fd_ = Fd(static_cast<int>(::syscall(SYS_userfaultfd, flags)));
	if (!fd_ && errno == EPERM) // vm.unprivileged_userfaultfd = 0
		fd_ = Fd(static_cast<int>(
			::syscall(SYS_userfaultfd, flags | uapi::userfault_user_mode_only)));
	if (!fd_)
		throw Skip(std::string("userfaultfd: ") + std::strerror(errno));
	uffdio_api api{};
	api.api = UFFD_API;
	api.features = features;
	if (call(fd_, UFFDIO_API, api) != 0)
		throw Skip("userfaultfd without the features that are needed");
}

void Userfault::watch(const void *start, std::size_t bytes, std::uint64_t mode) const
{
	uffdio_register argument{};
	argument.range = {number(start), bytes};
	argument.mode = mode;
	const int error = call(fd_, UFFDIO_REGISTER, argument);
	if (error == EINVAL)
		throw Skip("UFFDIO_REGISTER does not know this mode for this memory");
	errno = error;
	if (error != 0)
		throw_errno("UFFDIO_REGISTER");
}

int Userfault::unwatch(const void *start, std::size_t bytes) const noexcept
{
	uffdio_range argument{number(start), bytes};
	return call(fd_, UFFDIO_UNREGISTER, argument);
}

int Userfault::wake(const void *start, std::size_t bytes) const noexcept
{
	uffdio_range argument{number(start), bytes};
	return call(fd_, UFFDIO_WAKE, argument);
}

int Userfault::copy(void *to, const void *from, std::size_t bytes,
		    std::uint64_t mode) const noexcept
{
	uffdio_copy argument{};
	argument.dst = number(to);
	argument.src = number(from);
	argument.len = bytes;
	argument.mode = mode;
	return call(fd_, UFFDIO_COPY, argument);
}

int Userfault::zeropage(void *start, std::size_t bytes) const noexcept
{
	uffdio_zeropage argument{};
	argument.range = {number(start), bytes};
	return call(fd_, UFFDIO_ZEROPAGE, argument);
}

int Userfault::move(void *to, void *from, std::size_t bytes) const noexcept
{
	uapi::UffdioMove argument{};
	argument.dst = number(to);
	argument.src = number(from);
	argument.len = bytes;
	return call(fd_, uapi::uffdio_move, argument);
}

int Userfault::poison(void *start, std::size_t bytes) const noexcept
{
	uapi::UffdioPoison argument{};
	argument.start = number(start);
	argument.len = bytes;
	return call(fd_, uapi::uffdio_poison, argument);
}

int Userfault::minor_continue(void *start, std::size_t bytes) const noexcept
{
	uffdio_continue argument{};
	argument.range = {number(start), bytes};
	return call(fd_, UFFDIO_CONTINUE, argument);
}

int Userfault::write_protect(void *start, std::size_t bytes, bool protect) const noexcept
{
	uffdio_writeprotect argument{};
	argument.range = {number(start), bytes};
	argument.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
	return call(fd_, UFFDIO_WRITEPROTECT, argument);
}

std::uintptr_t Userfault::next_fault(int timeout_ms) const
{
	pollfd wait{fd_.get(), POLLIN, 0};
	uffd_msg message{};

	while (::poll(&wait, 1, timeout_ms) > 0) {
		if (::read(fd_.get(), &message, sizeof(message)) != sizeof(message))
			continue;
		if (message.event == UFFD_EVENT_PAGEFAULT)
			return message.arg.pagefault.address;
	}
	return 0;
}

} // namespace pvl
