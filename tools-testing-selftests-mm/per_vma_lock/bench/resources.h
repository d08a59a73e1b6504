// SPDX-License-Identifier: GPL-2.0
//
// What a case borrows from the kernel and gives back when it goes out of scope:
// file descriptors, mappings, settings in /sys and /proc.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace per_vma_lock
{

using Bytes = std::size_t;

constexpr Bytes page_bytes = 4096;
constexpr Bytes huge_page_bytes = 512 * page_bytes;

/** An open file descriptor, closed at the end of its life. */
class Fd {
    public:
	Fd() = default;
	explicit Fd(int number)
		: number_(number)
	{
	}
	Fd(Fd &&other) noexcept
		: number_(std::exchange(other.number_, -1))
	{
	}
	Fd &operator=(Fd &&other) noexcept
	{
		std::swap(number_, other.number_);
		return *this;
	}
	Fd(const Fd &) = delete;
	Fd &operator=(const Fd &) = delete;
	~Fd();

	/** The number, or -1 when nothing is open. */
	int number() const
	{
		return number_;
	}

    private:
	int number_ = -1;
};

/** A mapping at an address that was free, unmapped at the end of its life. */
class Mapping {
    public:
	/**
	 * mmap(2) with MAP_FIXED_NOREPLACE at @address.
	 *
	 * Throws std::system_error when the kernel refuses.
	 */
	Mapping(std::byte *address, Bytes length, int protection, int flags, const Fd &file);
	Mapping(Mapping &&other) noexcept
		: start_(std::exchange(other.start_, nullptr)),
		  length_(other.length_)
	{
	}
	Mapping(const Mapping &) = delete;
	Mapping &operator=(const Mapping &) = delete;
	Mapping &operator=(Mapping &&) = delete;
	~Mapping();

	std::byte *start() const
	{
		return start_;
	}
	Bytes length() const
	{
		return length_;
	}
	/** Start of the 4 KiB page @index. */
	std::byte *page(std::size_t index) const
	{
		return start_ + index * page_bytes;
	}

    private:
	std::byte *start_;
	Bytes length_;
};

/** A file under /sys or /proc with another content as long as this lives. */
class Setting {
    public:
	/** Throws std::system_error when the file is not there or takes no such value. */
	Setting(std::string path, const std::string &value);
	Setting(const Setting &) = delete;
	Setting &operator=(const Setting &) = delete;
	~Setting();

    private:
	std::string path_;
	std::string before_;
};

/** The file's content; throws std::system_error. */
std::string text_of_file(const std::string &path);

/** Writes @text into the file that exists at @path; throws std::system_error. */
void write_to_file(const std::string &path, const std::string &text);

/** A memory file of @length bytes, each page present and not zero; @memfd_flags as memfd_create(2). */
Fd filled_memfd(Bytes length, unsigned int memfd_flags, std::byte fill);

} // namespace per_vma_lock
