// SPDX-License-Identifier: GPL-2.0
#include "support/scratch.h"

#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <string>

#include "support/error.h"
#include "support/options.h"
#include "support/session.h"

namespace pvl
{

namespace fs = std::filesystem;

namespace
{

// Major 0 is for file systems without a block device: in memory, on the network, on top of others.
// Btrfs has such numbers too.
bool on_disk(const fs::path &dir)
{
	struct stat about {
	};
	struct statfs system {
	};
	return ::stat(dir.c_str(), &about) == 0 && ::statfs(dir.c_str(), &system) == 0 &&
	       (major(about.st_dev) != 0 || system.f_type == BTRFS_SUPER_MAGIC);
}

fs::path disk_dir()
{
	for (const char *candidate : {"/mnt", "/var/tmp", "/tmp", "."})
		if (::access(candidate, W_OK) == 0 && on_disk(candidate))
			return candidate;
	return {};
}

bool mount_new(const char *type, const fs::path &dir, const char *options)
{
	std::error_code ignored;
	fs::create_directory(dir, ignored);
	return ::mount(type, dir.c_str(), type, MS_NOSUID | MS_NODEV, options) == 0;
}

} // namespace

Scratch::Scratch()
{
	Session &run = session();

	if (run.disk_dir.empty())
		run.disk_dir = disk_dir();
	else if (!on_disk(run.disk_dir))
		throw UsageError("--disk=" + run.disk_dir.string() +
				 ": not on a file system with a disk behind it");
	if (!is_root() || ::unshare(CLONE_NEWNS) != 0)
		return;
	// Nothing mounted from here on is seen outside.
	if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
		return;

	std::error_code no_tmp;
	const fs::path tmp = fs::temp_directory_path(no_tmp);
	std::string pattern = ((no_tmp ? fs::path(".") : tmp) / "per_vma_lock.XXXXXX").string();
	if (::mkdtemp(pattern.data()) == nullptr)
		throw_errno("mkdtemp " + pattern);
	top_ = pattern;
	mounted_ = mount_new("tmpfs", top_, "size=64m");
	if (!mounted_)
		return;
	run.tmpfs_dir = top_;
	if (mount_new("hugetlbfs", top_ / "huge", nullptr))
		run.hugetlbfs_dir = top_ / "huge";
	if (::access("/sys/kernel/tracing/events", F_OK) != 0)
		mount_new("tracefs", "/sys/kernel/tracing", nullptr);
	if (::access("/sys/kernel/debug/clear_warn_once", F_OK) != 0)
		mount_new("debugfs", "/sys/kernel/debug", nullptr);
	if (mount_new("cgroup2", top_ / "cgroup", nullptr))
		run.cgroup_dir = top_ / "cgroup";
}

Scratch::~Scratch()
{
	std::error_code ignored;
	if (mounted_) {
		::umount2((top_ / "cgroup").c_str(), MNT_DETACH);
		::umount2((top_ / "huge").c_str(), MNT_DETACH);
		::umount2(top_.c_str(), MNT_DETACH);
	}
	if (!top_.empty())
		fs::remove(top_, ignored);
}

} // namespace pvl
