// SPDX-License-Identifier: GPL-2.0
//
// A memory cgroup at its limit. When the VMA lock is taken the task has not yet entered the user
// fault as far as its cgroup is concerned: an allocation that fails there must only lead to the
// mmap_lock, where the usual reclaim or OOM kill happens.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "support/cgroup.h"
#include "support/child.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/session.h"

namespace pvl
{

namespace
{

/// A number of pages, since what counts beside the tests' own is one too: each processor may be
/// charged for 64 ahead (MEMCG_CHARGE_BATCH).
std::uint64_t limit_bytes()
{
	constexpr std::uint64_t limit_pages = 4096;
	return limit_pages * page_bytes();
}

std::vector<Mapping> fresh_vmas(std::size_t count, std::size_t pages)
{
	std::vector<Mapping> vmas;
	MapRequest request;
	request.bytes = pages * page_bytes();
	for (std::size_t i = 0; i < count; i++)
		vmas.emplace_back(request);
	return vmas;
}

/// Writes a file of @p bytes, which stay in the page cache, charged to the writer's cgroup.
Fd page_cache(std::uint64_t bytes)
{
	std::string path = (session().disk_dir / "per_vma_lock.XXXXXX").string();
	Fd fd(::mkostemp(path.data(), O_CLOEXEC));
	if (!fd)
		throw Skip("cannot create a file on " + session().disk_dir.string());
	::unlink(path.c_str());
	const std::vector<std::uint8_t> page(page_bytes(), 1);
	for (std::uint64_t done = 0; done < bytes; done += page.size())
		checked(::write(fd.get(), page.data(), page.size()), "write to a file");
	return fd;
}

// Page cache can be reclaimed, so first writes at the limit only become slower.
TEST(Memcg, FirstWritesSurviveAtTheLimit)
{
	constexpr std::size_t vmas = 400;
	if (session().disk_dir.empty())
		throw Skip("no file system with a disk behind it (see --disk)");
	const MemoryGroup group(limit_bytes());

	EXPECT_TRUE(passes_in_child([&] {
		group.enter();
		const Fd file = page_cache(limit_bytes() + limit_bytes() / 4);
		const auto fresh = fresh_vmas(vmas, 1);
		for (std::size_t i = 0; i < vmas; i++)
			store(fresh[i].data(), static_cast<std::uint8_t>(i));
		for (std::size_t i = 0; i < vmas; i++)
			EXPECT_EQ(load(fresh[i].data()), static_cast<std::uint8_t>(i));
	}));
	EXPECT_GT(group.event("max"), 0U) << "the limit was never reached";
	EXPECT_EQ(group.event("oom_kill"), 0U);
}

// Nothing can be reclaimed: the first write that does not fit kills its own process, no other.
TEST(Memcg, FirstWriteBeyondTheLimitIsKilled)
{
	constexpr std::size_t pages = 16;
	const MemoryGroup group(limit_bytes());

	EXPECT_FALSE(passes_in_child([&] {
		group.enter();
		const auto fresh = fresh_vmas(2 * limit_bytes() / (pages * page_bytes()), pages);
		for (const Mapping &map : fresh)
			for (std::size_t at = 0; at < map.size(); at += page_bytes())
				store(map.at(at), 1);
	})) << "twice the limit was written";
	EXPECT_GE(group.event("oom_kill"), 1U);
}

} // namespace

} // namespace pvl
