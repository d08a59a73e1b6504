// SPDX-License-Identifier: GPL-2.0
#include "resources.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace per_vma_lock
{

Fd::~Fd()
{
	if (number_ >= 0)
		close(number_);
}

Mapping::Mapping(std::byte *address, Bytes length, int protection, int flags, const Fd &file)
	: start_(address),
	  length_(length)
{
	if (mmap(address, length, protection, flags | MAP_FIXED_NOREPLACE, file.number(), 0) !=
	    address)
		throw std::system_error(errno, std::generic_category(),
					"mmap of " + std::to_string(length) + " bytes");
}

Mapping::~Mapping()
{
	if (start_)
		munmap(start_, length_);
}

std::string text_of_file(const std::string &path)
{
	const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
	std::string text;
	std::array<char, 4096> part;
	ssize_t count = 0;

	if (file.number() < 0)
		throw std::system_error(errno, std::generic_category(), "open " + path);
	while ((count = read(file.number(), part.data(), part.size())) > 0)
		text.append(part.data(), static_cast<std::size_t>(count));
	if (count < 0)
		throw std::system_error(errno, std::generic_category(), "read " + path);
	return text;
}

void write_to_file(const std::string &path, const std::string &text)
{
	const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));

	if (file.number() < 0)
		throw std::system_error(errno, std::generic_category(), "open " + path);
	if (write(file.number(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
		throw std::system_error(errno, std::generic_category(),
					"write " + text + " to " + path);
}

namespace
{

/** "always [madvise] never" means madvise. */
std::string chosen_of(const std::string &text)
{
	const std::size_t open = text.find('[');
	const std::size_t close = text.find(']');

	if (open == std::string::npos || close == std::string::npos)
		return text.substr(0, text.find('\n'));
	return text.substr(open + 1, close - open - 1);
}

} // namespace

Setting::Setting(std::string path, const std::string &value)
	: path_(std::move(path)),
	  before_(chosen_of(text_of_file(path_)))
{
	write_to_file(path_, value);
}

Setting::~Setting()
{
	try {
		write_to_file(path_, before_);
	} catch (const std::system_error &) {
		// Nobody is left who could do anything about it.
	}
}

Fd filled_memfd(Bytes length, unsigned int memfd_flags, std::byte fill)
{
	Fd file(memfd_create("fault_cost", memfd_flags | MFD_CLOEXEC));

	if (file.number() < 0)
		throw std::system_error(errno, std::generic_category(), "memfd_create");
	if (ftruncate(file.number(), static_cast<off_t>(length)) != 0)
		throw std::system_error(errno, std::generic_category(), "ftruncate");

	void *memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file.number(), 0);
	if (memory == MAP_FAILED)
		throw std::system_error(errno, std::generic_category(), "mmap of a memfd");
	std::memset(memory, static_cast<int>(fill), length);
	munmap(memory, length);
	return file;
}

} // namespace per_vma_lock
