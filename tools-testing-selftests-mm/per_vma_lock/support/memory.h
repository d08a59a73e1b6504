// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/fd.h"
#include "support/mapping.h"
#include "support/setting.h"

namespace pvl
{

/// What is behind a mapping.
enum class Backing {
	anon,
	dev_zero,
	memfd_private,
	tmpfs_private,
	disk_private,
	readonly_fd_private,
	hugetlb_private,
	hugetlb_memfd_private,
	hugetlbfs_private,
	thp,
	thp_always,
	mthp,
	shmem_thp_private,
	shared_anon,
	memfd_shared,
	tmpfs_shared,
	disk_shared,
	hugetlb_shared,
	hugetlb_memfd_shared,
	hugetlbfs_shared,
	shmem_thp_shared,
};

/// Whether reads of huge pages map the huge zero page: "1" or "0".
inline constexpr const char *use_zero_page = "/sys/kernel/mm/transparent_hugepage/use_zero_page";

/// Every Backing, in the order of the enumeration.
const std::vector<Backing> &all_backings();

/// The word for it in test names, e.g. "memfd_private".
std::string name_of(Backing backing);

/// Mapped with MAP_SHARED: never gets an anon_vma.
bool is_shared(Backing backing);

/// Huge pages of the hugetlb pool.
bool is_hugetlb(Backing backing);

/// Anonymous huge pages, and the huge zero page for reads.
bool is_anon_thp(Backing backing);

/// Starts with the content of a file: see initial_byte(). The others start with zeroes.
bool has_file_content(Backing backing);

/// Bytes of a unit: what one fault maps, a base page or a huge one. Throws Skip like
/// huge_page_bytes().
std::size_t unit_bytes(Backing backing);

/// How many units a Memory has unless asked for another number: 2 huge ones, 4 base pages.
std::size_t default_units(Backing backing);

/// Fresh memory of one kind that nothing has touched through its mapping: a number of units, see
/// unit_bytes().
///
/// Throws Skip when the machine lacks what it takes. Kernel settings that it needs are changed for
/// its lifetime.
class Memory
{
    public:
	explicit Memory(Backing backing, int prot = PROT_READ | PROT_WRITE, std::size_t units = 0);

	[[nodiscard]] Backing backing() const noexcept
	{
		return backing_;
	}
	[[nodiscard]] const Mapping &map() const noexcept
	{
		return map_;
	}
	[[nodiscard]] Mapping &map() noexcept
	{
		return map_;
	}
	/// The file that is mapped; -1 for anonymous memory.
	[[nodiscard]] int fd() const noexcept
	{
		return fd_.get();
	}
	/// Bytes of a unit.
	[[nodiscard]] std::size_t unit() const noexcept
	{
		return unit_;
	}
	[[nodiscard]] std::size_t units() const noexcept
	{
		return map_.size() / unit_;
	}
	/// Address of the first byte of unit @p index.
	[[nodiscard]] std::uint8_t *unit_at(std::size_t index) const noexcept
	{
		return map_.at(index * unit_);
	}
	/// What the byte at @p offset was when the memory was made.
	[[nodiscard]] std::uint8_t initial_byte(std::size_t offset) const noexcept;
	/// The whole initial content, as a shadow copy to keep up to date.
	[[nodiscard]] std::vector<std::uint8_t> shadow() const;
	/// Whether the file still has its initial content, read with pread(2); true without a file.
	[[nodiscard]] bool file_is_unchanged() const;
	/// The byte of the file at @p offset. Throws std::system_error.
	[[nodiscard]] std::uint8_t file_byte(std::size_t offset) const;

	/// Keeps a changed setting changed for as long as the memory lives; null is ignored.
	void keep(std::unique_ptr<SettingGuard> guard);

	/// Gives a private mapping its anon_vma by writing the first byte of the last unit. The
	/// same write to a shared one gives it none. Returns what was written.
	std::uint8_t prepare_anon_vma() const;

    private:
	void make_file(int *map_fd);
	void fill_file();

	Backing backing_;
	std::size_t unit_ = 0;
	std::size_t bytes_ = 0;
	std::vector<std::unique_ptr<SettingGuard>> settings_;
	Fd fd_;
	Fd readonly_fd_;
	Mapping map_;
};

/// Changes @p path to @p value unless it has one of the @p good values already. Returns the guard,
/// or null when nothing had to change. Throws Skip when it may not be changed.
std::unique_ptr<SettingGuard> setting_among(const std::string &path,
					    const std::vector<std::string> &good,
					    const std::string &value);

/// Bytes of a default-size hugetlb page, from /proc/meminfo. Throws Skip when there are none.
std::size_t huge_page_bytes();

/// Path of a file, e.g. "nr_hugepages", of the pool of huge pages of @p page_bytes.
std::string huge_page_setting(const std::string &name, std::size_t page_bytes = huge_page_bytes());

/// How many huge pages of @p page_bytes are free and not reserved. Throws Skip when the kernel has
/// none of that size.
std::uint64_t unreserved_huge_pages(std::size_t page_bytes = huge_page_bytes());

/// Path of a file, e.g. "enabled", about transparent huge pages of @p bytes.
std::string thp_setting(std::size_t bytes, const std::string &name);

/// Makes the pool one of @p pages huge pages of @p page_bytes, as far as the kernel can, while the
/// guard lives. Throws Skip when this user may not, when that takes more than a quarter of the
/// available memory and when other processes use surplus pages.
std::unique_ptr<SettingGuard> huge_page_pool(std::uint64_t pages,
					     std::size_t page_bytes = huge_page_bytes());

/// Makes sure that at least @p pages huge pages of @p page_bytes are free and unreserved, growing
/// the pool if this user may. While the guard lives, no other one's end takes them away. Throws
/// Skip like huge_page_pool(), and when there are not enough.
std::unique_ptr<SettingGuard> free_huge_pages(std::size_t pages,
					      std::size_t page_bytes = huge_page_bytes());

/// A number from /proc/meminfo as it stands there (kB or pages), e.g. "HugePages_Rsvd". Throws Skip
/// when the kernel does not have the line.
std::uint64_t meminfo(const std::string &key);

/// First index at which the two differ, or the size when they are equal.
std::size_t first_difference(const std::uint8_t *left, const std::uint8_t *right,
			     std::size_t bytes) noexcept;

} // namespace pvl
