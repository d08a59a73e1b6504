// SPDX-License-Identifier: GPL-2.0
#include "fixed_mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "support/error.h"

namespace pvl
{

FixedMapping::FixedMapping(std::byte *address, Bytes length, int protection, int flags,
			   const Fd &file)
	: start_(address), length_(length)
{
	if (::mmap(address, length, protection, flags | MAP_FIXED_NOREPLACE, file.get(), 0) !=
	    address)
		throw_errno("mmap of " + std::to_string(length) + " bytes");
}

FixedMapping::~FixedMapping()
{
	if (start_ != nullptr)
		::munmap(start_, length_);
}

Fd filled_memfd(Bytes length, unsigned int memfd_flags, std::byte fill)
{
	Fd file(checked(::memfd_create("fault_cost", memfd_flags | MFD_CLOEXEC), "memfd_create"));

	checked(::ftruncate(file.get(), static_cast<off_t>(length)), "ftruncate of a memfd");
	void *memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
	if (memory == MAP_FAILED)
		throw_errno("mmap of a memfd");
	std::memset(memory, static_cast<int>(fill), length);
	::munmap(memory, length);
	return file;
}

} // namespace pvl
