// SPDX-License-Identifier: GPL-2.0
#include "support/mapping.h"

#include <unistd.h>

#include <fstream>
#include <utility>

#include "support/error.h"

namespace pvl
{

namespace
{

constexpr std::size_t two_mib = std::size_t{2} << 20;

} // namespace

std::size_t page_bytes()
{
	static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
	return bytes;
}

std::size_t pmd_bytes()
{
	static const std::size_t bytes = [] {
		std::ifstream file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
		std::size_t value = 0;
		return (file >> value) && value != 0 ? value : two_mib;
	}();
	return bytes;
}

Mapping::Mapping(const MapRequest &request)
{
	const std::size_t alignment = request.alignment != 0 ? request.alignment : page_bytes();
	const std::size_t margin = alignment; // hole on either side
	const std::size_t total = request.bytes + alignment + 2 * margin;

	void *reserved = ::mmap(nullptr, total, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		throw_errno("mmap: reserving address space");
	reserved_ = static_cast<std::uint8_t *>(reserved);
	reserved_bytes_ = total;

	const auto start = reinterpret_cast<std::uintptr_t>(reserved_) + margin;
	const std::uintptr_t aligned = (start + alignment - 1) / alignment * alignment;
	void *mapped = ::mmap(reinterpret_cast<void *>(aligned), request.bytes, request.prot,
			      request.flags | MAP_FIXED, request.fd, request.offset);
	if (mapped == MAP_FAILED) {
		const int error = errno;
		reset();
		if (error == ENOMEM && (request.flags & MAP_HUGETLB) != 0)
			throw Skip("not enough free huge pages");
		errno = error;
		throw_errno("mmap");
	}
	data_ = static_cast<std::uint8_t *>(mapped);
	bytes_ = request.bytes;
}

Mapping::Mapping(Mapping &&other) noexcept
	: reserved_(std::exchange(other.reserved_, nullptr)),
	  reserved_bytes_(std::exchange(other.reserved_bytes_, 0)),
	  data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)),
	  hole_(std::exchange(other.hole_, false))
{
}

Mapping &Mapping::operator=(Mapping &&other) noexcept
{
	std::swap(reserved_, other.reserved_);
	std::swap(reserved_bytes_, other.reserved_bytes_);
	std::swap(data_, other.data_);
	std::swap(bytes_, other.bytes_);
	std::swap(hole_, other.hole_);
	return *this;
}

Mapping::~Mapping()
{
	reset();
}

void Mapping::reset() noexcept
{
	if (reserved_ != nullptr && !hole_)
		::munmap(reserved_, reserved_bytes_);
	if (reserved_ != nullptr && hole_) {
		std::uint8_t *after = data_ + bytes_;
		::munmap(reserved_, static_cast<std::size_t>(data_ - reserved_));
		::munmap(after, static_cast<std::size_t>(reserved_ + reserved_bytes_ - after));
	}
	reserved_ = nullptr;
	hole_ = false;
	data_ = nullptr;
	reserved_bytes_ = bytes_ = 0;
}

std::uint8_t load(const std::uint8_t *address) noexcept
{
	return *static_cast<const volatile std::uint8_t *>(address);
}

void store(std::uint8_t *address, std::uint8_t value) noexcept
{
	*static_cast<volatile std::uint8_t *>(address) = value;
}

} // namespace pvl
