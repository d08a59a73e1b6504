// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <unistd.h>

#include <utility>

namespace pvl
{

/// An owned file descriptor: closed once, never copied.
class Fd
{
    public:
	Fd() = default;

	/// Takes ownership of @p fd; a negative number means "none".
	explicit Fd(int fd) noexcept : fd_(fd)
	{
	}

	Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1))
	{
	}

	Fd &operator=(Fd &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}

	Fd(const Fd &) = delete;
	Fd &operator=(const Fd &) = delete;

	~Fd()
	{
		reset();
	}

	/// The descriptor for use in a system call; -1 when there is none.
	[[nodiscard]] int get() const noexcept
	{
		return fd_;
	}

	explicit operator bool() const noexcept
	{
		return fd_ >= 0;
	}

	/// Closes the descriptor now.
	void reset() noexcept
	{
		if (fd_ >= 0)
			::close(std::exchange(fd_, -1));
	}

    private:
	int fd_ = -1;
};

} // namespace pvl
