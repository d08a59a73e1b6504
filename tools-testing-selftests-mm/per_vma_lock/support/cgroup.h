// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "support/setting.h"

namespace pvl
{

/// A cgroup (v2) of this test's own with the memory controller; removed, with what it took to make
/// it, also after a crash. Throws Skip when this user or kernel cannot have one.
/// Documentation/admin-guide/cgroup-v2.rst
class MemoryGroup
{
    public:
	/// @p limit_bytes is memory.max; nothing in it may be swapped out.
	explicit MemoryGroup(std::uint64_t limit_bytes);
	MemoryGroup(const MemoryGroup &) = delete;
	MemoryGroup &operator=(const MemoryGroup &) = delete;
	~MemoryGroup();

	/// Moves the calling process into it.
	void enter() const;

	/// A number of memory.events, e.g. "oom_kill".
	[[nodiscard]] std::uint64_t event(const std::string &name) const
	{
		return number("memory.events", name);
	}

	/// Pages of user memory charged to it: memory.current without the kernel's own.
	[[nodiscard]] std::uint64_t user_pages() const;

    private:
	/// The number behind the word @p name in @p file. Throws Skip when it is not there.
	[[nodiscard]] std::uint64_t number(const std::string &file, const std::string &name) const;

	std::filesystem::path dir_;
	int controller_slot_ = -1;
	int dir_slot_ = -1;
};

} // namespace pvl
