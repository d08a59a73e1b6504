// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace pvl
{

/// Which kernel's numbers of mmap_lock acquisitions the lock tests have to see.
enum class Expect { automatic, patched, mainline };

/// What the command line and the running kernel settle for the whole run. Filled in by main().
struct Session {
	Expect expect = Expect::automatic;
	/// The kernel has the series: kallsyms knows vma_anon_prepare_or_unlock.
	bool series_applied = false;
	/// Iterations and durations of loops, in per cent of the normal number.
	unsigned scale_percent = 100;
	/// Seed of everything random; printed with every failure that depends on it.
	std::uint64_t seed = 1;
	/// Longest time one test may take before it is killed and fails.
	std::chrono::seconds test_timeout{45};
	/// Directory on a file system with a disk behind it; empty: none was found.
	std::filesystem::path disk_dir;
	/// Empty directories, mounted for this run only when it runs as root: tmpfs and hugetlbfs.
	std::filesystem::path tmpfs_dir;
	std::filesystem::path hugetlbfs_dir;
	/// A cgroup v2 hierarchy's root; empty: none, or not root.
	std::filesystem::path cgroup_dir;
	/// tracefs group of this run's kprobe events (see Probes); empty: none.
	std::string probe_group;
	/// Calls of down_read_trylock() that one lock_vma_under_rcu() makes (see Probes).
	std::uint64_t trylocks_per_vma_lock = 0;

	/// Whose numbers have to be seen. Expect::automatic: nobody's, the running kernel does
	/// not have the series and was not asked for anything.
	[[nodiscard]] Expect judged() const noexcept
	{
		return expect == Expect::automatic && series_applied ? Expect::patched : expect;
	}

	/// @p normal iterations scaled for this run, at least 1.
	[[nodiscard]] std::uint64_t scaled(std::uint64_t normal) const noexcept
	{
		const std::uint64_t count = normal * scale_percent / 100;
		return count != 0 ? count : 1;
	}
};

/// The session of this process.
Session &session() noexcept;

/// Whether the running kernel has the text symbol @p symbol, from /proc/kallsyms (which lists
/// names, if not addresses, for every user). False when kallsyms cannot be read.
bool kernel_has_symbol(const std::string &symbol, const std::string &kallsyms = "/proc/kallsyms");

/// True when this process may do what only root may.
bool is_root() noexcept;

} // namespace pvl
