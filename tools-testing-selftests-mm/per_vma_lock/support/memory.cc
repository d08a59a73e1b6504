// SPDX-License-Identifier: GPL-2.0
#include "support/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>

#include "support/error.h"
#include "support/session.h"
#include "support/uapi.h"
#include "support/wait.h"

namespace pvl
{

namespace
{

constexpr const char *thp_dir = "/sys/kernel/mm/transparent_hugepage/";
constexpr std::size_t mthp_bytes = std::size_t{64} << 10;
constexpr std::size_t kib = 1024;
constexpr std::size_t pattern_period = 251; // prime: no two units have the same bytes

struct Traits {
	Backing backing;
	const char *name;
	bool shared;
	bool hugetlb;
	bool file_content;
};

constexpr std::array traits{
	Traits{Backing::anon, "anon", false, false, false},
	Traits{Backing::dev_zero, "dev_zero", false, false, false},
	Traits{Backing::memfd_private, "memfd_private", false, false, true},
	Traits{Backing::tmpfs_private, "tmpfs_private", false, false, true},
	Traits{Backing::disk_private, "disk_private", false, false, true},
	Traits{Backing::readonly_fd_private, "readonly_fd_private", false, false, true},
	Traits{Backing::hugetlb_private, "hugetlb_private", false, true, false},
	Traits{Backing::hugetlb_memfd_private, "hugetlb_memfd_private", false, true, true},
	Traits{Backing::hugetlbfs_private, "hugetlbfs_private", false, true, true},
	Traits{Backing::thp, "thp", false, false, false},
	Traits{Backing::thp_always, "thp_always", false, false, false},
	Traits{Backing::mthp, "mthp", false, false, false},
	Traits{Backing::shmem_thp_private, "shmem_thp_private", false, false, true},
	Traits{Backing::shared_anon, "shared_anon", true, false, false},
	Traits{Backing::memfd_shared, "memfd_shared", true, false, true},
	Traits{Backing::tmpfs_shared, "tmpfs_shared", true, false, true},
	Traits{Backing::disk_shared, "disk_shared", true, false, true},
	Traits{Backing::hugetlb_shared, "hugetlb_shared", true, true, false},
	Traits{Backing::hugetlb_memfd_shared, "hugetlb_memfd_shared", true, true, true},
	Traits{Backing::hugetlbfs_shared, "hugetlbfs_shared", true, true, true},
	Traits{Backing::shmem_thp_shared, "shmem_thp_shared", true, false, true},
};

const Traits &traits_of(Backing backing)
{
	return traits.at(static_cast<std::size_t>(backing));
}

bool is_thp(Backing backing)
{
	return is_anon_thp(backing) || backing == Backing::shmem_thp_private ||
	       backing == Backing::shmem_thp_shared;
}

std::uint64_t available_bytes()
{
	return meminfo("MemAvailable") * kib;
}

/// Throws Skip where other processes have surplus huge pages of @p page_bytes before this process
/// changes the pool for the first time: its size written back would make them persistent.
void no_surplus_of_others(std::size_t page_bytes)
{
	static std::set<std::size_t> known;
	constexpr std::chrono::seconds patience(10); // an io_uring's pins last beyond its end

	if (known.contains(page_bytes))
		return;
	if (!holds_within(patience, [=] {
		    return first_line(huge_page_setting("surplus_hugepages", page_bytes)) == "0";
	    }))
		throw Skip("surplus huge pages are in use");
	known.insert(page_bytes);
}

Fd new_file(const std::filesystem::path &dir, const char *needed)
{
	if (dir.empty())
		throw Skip(std::string("no ") + needed);
	std::string pattern = (dir / "per_vma_lock.XXXXXX").string();
	Fd fd(::mkostemp(pattern.data(), O_CLOEXEC));
	if (!fd)
		throw Skip("cannot create a file on " + dir.string() + ": " + std::strerror(errno));
	::unlink(pattern.c_str());
	return fd;
}

Fd new_memfd(unsigned flags)
{
	Fd fd(::memfd_create("per_vma_lock", MFD_CLOEXEC | flags));
	if (!fd)
		throw Skip(std::string("memfd_create: ") + std::strerror(errno));
	return fd;
}

} // namespace

const std::vector<Backing> &all_backings()
{
	static const std::vector<Backing> all = [] {
		std::vector<Backing> list;
		list.reserve(std::size(traits));
		for (const Traits &entry : traits)
			list.push_back(entry.backing);
		return list;
	}();
	return all;
}

std::string name_of(Backing backing)
{
	return traits_of(backing).name;
}

bool is_shared(Backing backing)
{
	return traits_of(backing).shared;
}

bool is_hugetlb(Backing backing)
{
	return traits_of(backing).hugetlb;
}

bool is_anon_thp(Backing backing)
{
	return backing == Backing::thp || backing == Backing::thp_always;
}

bool has_file_content(Backing backing)
{
	return traits_of(backing).file_content;
}

std::size_t unit_bytes(Backing backing)
{
	if (is_hugetlb(backing))
		return huge_page_bytes();
	if (is_thp(backing))
		return pmd_bytes();
	return backing == Backing::mthp ? mthp_bytes : page_bytes();
}

std::size_t default_units(Backing backing)
{
	return unit_bytes(backing) > mthp_bytes ? 2 : 4;
}

Memory::Memory(Backing backing, int prot, std::size_t units)
	: backing_(backing), unit_(unit_bytes(backing)),
	  bytes_((units != 0 ? units : default_units(backing)) * unit_)
{
	const std::string thp(thp_dir);
	if (is_thp(backing) && bytes_ > available_bytes() / 8)
		throw Skip("not enough memory for " + std::to_string(bytes_ / kib) + " KiB of it");
	if (is_hugetlb(backing)) // private copies need pages of their own beside the file's
		keep(free_huge_pages(2 * bytes_ / unit_));
	if (backing == Backing::thp)
		keep(setting_among(thp + "enabled", {"always", "madvise"}, "madvise"));
	if (backing == Backing::thp_always)
		keep(std::make_unique<SettingGuard>(thp + "enabled", "always"));
	if (backing == Backing::mthp)
		keep(std::make_unique<SettingGuard>(thp_setting(unit_, "enabled"), "madvise"));
	if (backing == Backing::shmem_thp_private || backing == Backing::shmem_thp_shared)
		keep(std::make_unique<SettingGuard>(thp + "shmem_enabled", "always"));

	MapRequest request;
	request.bytes = bytes_;
	request.prot = prot;
	request.alignment = unit_;
	request.flags = is_shared(backing) ? MAP_SHARED : MAP_PRIVATE;
	make_file(&request.fd);
	if (request.fd < 0)
		request.flags |= MAP_ANONYMOUS;
	if (is_hugetlb(backing))
		request.flags |= MAP_HUGETLB;
	if (has_file_content(backing))
		fill_file();
	if (backing == Backing::readonly_fd_private) {
		const std::string path = "/proc/self/fd/" + std::to_string(fd_.get());
		readonly_fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
		if (!readonly_fd_)
			throw_errno("open " + path + " read-only");
		request.fd = readonly_fd_.get();
	}
	map_ = Mapping(request);

	if (backing == Backing::thp_always) // without being asked
		return;
	const bool wants_huge = is_thp(backing) || backing == Backing::mthp;
	if (wants_huge && ::madvise(map_.data(), bytes_, uapi::madv_hugepage) != 0)
		throw Skip(std::string("MADV_HUGEPAGE: ") + std::strerror(errno));
	if (!wants_huge && !is_hugetlb(backing))
		::madvise(map_.data(), bytes_, uapi::madv_nohugepage); // EINVAL without THP: fine
}

void Memory::make_file(int *map_fd)
{
	const Session &run = session();

	switch (backing_) {
	case Backing::anon:
	case Backing::hugetlb_private:
	case Backing::thp:
	case Backing::thp_always:
	case Backing::mthp:
	case Backing::shared_anon:
	case Backing::hugetlb_shared:
		return;
	case Backing::dev_zero:
		fd_ = Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC));
		if (!fd_)
			throw Skip(std::string("open /dev/zero: ") + std::strerror(errno));
		break;
	case Backing::memfd_private:
	case Backing::memfd_shared:
	case Backing::readonly_fd_private:
	case Backing::shmem_thp_private:
	case Backing::shmem_thp_shared:
		fd_ = new_memfd(0);
		break;
	case Backing::hugetlb_memfd_private:
	case Backing::hugetlb_memfd_shared:
		fd_ = new_memfd(MFD_HUGETLB);
		break;
	case Backing::tmpfs_private:
	case Backing::tmpfs_shared:
		fd_ = new_file(run.tmpfs_dir, "tmpfs of our own (not root)");
		break;
	case Backing::hugetlbfs_private:
	case Backing::hugetlbfs_shared:
		fd_ = new_file(run.hugetlbfs_dir, "hugetlbfs of our own (not root)");
		break;
	case Backing::disk_private:
	case Backing::disk_shared:
		fd_ = new_file(run.disk_dir, "file system with a disk behind it (see --disk)");
		break;
	}
	*map_fd = fd_.get();
}

void Memory::fill_file()
{
	if (::ftruncate(fd_.get(), static_cast<off_t>(bytes_)) != 0)
		throw_errno("ftruncate of the mapped file");

	const auto content = shadow();
	if (is_hugetlb(backing_)) { // hugetlbfs has no write(2)
		MapRequest request;
		request.bytes = bytes_;
		request.flags = MAP_SHARED | MAP_HUGETLB;
		request.fd = fd_.get();
		request.alignment = unit_;
		const Mapping map(request);
		std::memcpy(map.data(), content.data(), bytes_);
		return;
	}
	std::size_t done = 0;
	while (done < bytes_)
		done += static_cast<std::size_t>(
			checked(::pwrite(fd_.get(), content.data() + done, bytes_ - done,
					 static_cast<off_t>(done)),
				"pwrite: filling the mapped file"));
}

std::uint8_t Memory::initial_byte(std::size_t offset) const noexcept
{
	return has_file_content(backing_) ? static_cast<std::uint8_t>(1 + offset % pattern_period)
					  : std::uint8_t{0};
}

std::vector<std::uint8_t> Memory::shadow() const
{
	std::vector<std::uint8_t> bytes(bytes_);
	for (std::size_t i = 0; has_file_content(backing_) && i < bytes_; i++)
		bytes[i] = initial_byte(i);
	return bytes;
}

bool Memory::file_is_unchanged() const
{
	if (!has_file_content(backing_))
		return true;
	const auto wanted = shadow();
	std::vector<std::uint8_t> found(bytes_);
	std::size_t done = 0;
	while (done < bytes_) {
		const ssize_t got = checked(::pread(fd_.get(), found.data() + done, bytes_ - done,
						    static_cast<off_t>(done)),
					    "pread of the mapped file");
		if (got == 0)
			return false;
		done += static_cast<std::size_t>(got);
	}
	return found == wanted;
}

std::uint8_t Memory::file_byte(std::size_t offset) const
{
	std::uint8_t byte = 0;
	checked(::pread(fd_.get(), &byte, 1, static_cast<off_t>(offset)),
		"pread of the mapped file");
	return byte;
}

void Memory::keep(std::unique_ptr<SettingGuard> guard)
{
	if (guard)
		settings_.push_back(std::move(guard));
}

std::uint8_t Memory::prepare_anon_vma() const
{
	constexpr std::uint8_t mark = 0xa5;
	store(unit_at(units() - 1), mark);
	return mark;
}

std::unique_ptr<SettingGuard> setting_among(const std::string &path,
					    const std::vector<std::string> &good,
					    const std::string &value)
{
	const std::string now = selected_value(first_line(path));
	if (std::find(good.begin(), good.end(), now) != good.end())
		return nullptr;
	return std::make_unique<SettingGuard>(path, value);
}

std::uint64_t meminfo(const std::string &key)
{
	std::ifstream file("/proc/meminfo");
	for (std::string line; std::getline(file, line);) {
		std::istringstream words(line);
		std::string name;
		std::uint64_t value = 0;
		if ((words >> name >> value) && name == key + ':')
			return value;
	}
	throw Skip("no " + key + " in /proc/meminfo");
}

std::size_t huge_page_bytes()
{
	return meminfo("Hugepagesize") * kib;
}

std::string thp_setting(std::size_t bytes, const std::string &name)
{
	return thp_dir + ("hugepages-" + std::to_string(bytes / kib) + "kB/") + name;
}

std::string huge_page_setting(const std::string &name, std::size_t page_bytes)
{
	return "/sys/kernel/mm/hugepages/hugepages-" + std::to_string(page_bytes / kib) + "kB/" +
	       name;
}

std::uint64_t unreserved_huge_pages(std::size_t page_bytes)
{
	const auto count = [=](const char *name) -> std::uint64_t {
		return std::stoull(first_line(huge_page_setting(name, page_bytes)));
	};
	const std::uint64_t reserved = count("resv_hugepages");
	return std::max(count("free_hugepages"), reserved) - reserved;
}

std::unique_ptr<SettingGuard> huge_page_pool(std::uint64_t pages, std::size_t page_bytes)
{
	const std::string path = huge_page_setting("nr_hugepages", page_bytes);
	const std::uint64_t now = std::stoull(first_line(path));
	if (pages > now && (pages - now) * page_bytes > available_bytes() / 4)
		throw Skip("not enough memory for " + std::to_string(pages - now) +
			   " more huge pages");
	no_surplus_of_others(page_bytes);
	return std::make_unique<SettingGuard>(path, std::to_string(pages));
}

std::unique_ptr<SettingGuard> free_huge_pages(std::size_t pages, std::size_t page_bytes)
{
	static std::mutex growing; // a thread must not write a size that another has outgrown
	const std::lock_guard lock(growing);
	const std::string path = huge_page_setting("nr_hugepages", page_bytes);
	const std::uint64_t available = unreserved_huge_pages(page_bytes);
	if (available >= pages && ::access(path.c_str(), W_OK) != 0)
		return nullptr;
	// Held also where there are enough: these may be another guard's, and go with it.
	const std::uint64_t wanted =
		std::stoull(first_line(path)) + pages - std::min<std::uint64_t>(available, pages);
	auto guard = huge_page_pool(wanted, page_bytes);
	if (unreserved_huge_pages(page_bytes) < pages)
		throw Skip("no " + std::to_string(pages) + " free huge pages of " +
			   std::to_string(page_bytes / kib) + " KiB");
	return guard;
}

std::size_t first_difference(const std::uint8_t *left, const std::uint8_t *right,
			     std::size_t bytes) noexcept
{
	if (std::memcmp(left, right, bytes) == 0) // many times faster
		return bytes;
	return static_cast<std::size_t>(std::mismatch(left, left + bytes, right).first - left);
}

} // namespace pvl
