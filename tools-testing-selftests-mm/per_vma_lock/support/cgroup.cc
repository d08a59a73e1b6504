// SPDX-License-Identifier: GPL-2.0
#include "support/cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "support/error.h"
#include "support/mapping.h"
#include "support/session.h"

namespace pvl
{

namespace
{

bool has_word(const std::filesystem::path &file, const std::string &wanted)
{
	std::ifstream words(file);
	for (std::string word; words >> word;)
		if (word == wanted)
			return true;
	return false;
}

void set(const std::filesystem::path &file, const std::string &value)
{
	if (const int error = write_text(file.string(), value); error != 0)
		throw Skip("cannot write '" + value + "' to " + file.string() + ": " +
			   std::strerror(error));
}

} // namespace

MemoryGroup::MemoryGroup(std::uint64_t limit_bytes)
{
	const std::filesystem::path root = session().cgroup_dir;
	if (root.empty() || !has_word(root / "cgroup.controllers", "memory"))
		throw Skip("no cgroup v2 with the memory controller (not root, or not free)");
	const auto control = root / "cgroup.subtree_control";
	if (!has_word(control, "memory")) {
		controller_slot_ = SettingJournal::note_write(control.string(), "-memory");
		set(control, "+memory");
	}
	dir_ = root / ("per_vma_lock_" + std::to_string(::getpid()));
	dir_slot_ = SettingJournal::note_rmdir(dir_.string());
	if (::mkdir(dir_.c_str(), 0755) != 0)
		throw Skip("mkdir " + dir_.string() + ": " + std::strerror(errno));
	set(dir_ / "memory.max", std::to_string(limit_bytes));
	write_text((dir_ / "memory.swap.max").string(), "0"); // missing without swap: fine
}

MemoryGroup::~MemoryGroup()
{
	SettingJournal::undo(dir_slot_);
	SettingJournal::undo(controller_slot_);
}

void MemoryGroup::enter() const
{
	set(dir_ / "cgroup.procs", "0");
}

std::uint64_t MemoryGroup::user_pages() const
{
	const std::uint64_t kernel = number("memory.stat", "kernel");
	return (std::stoull(first_line((dir_ / "memory.current").string())) - kernel) /
	       page_bytes();
}

std::uint64_t MemoryGroup::number(const std::string &file, const std::string &name) const
{
	std::ifstream lines(dir_ / file);
	std::string key;
	std::uint64_t value = 0;
	while (lines >> key >> value)
		if (key == name)
			return value;
	throw Skip("no " + name + " in " + file);
}

} // namespace pvl
