// SPDX-License-Identifier: GPL-2.0
//
// A memory cgroup at its limit. When the VMA lock is taken the task has not yet entered the user
// fault as far as its cgroup is concerned: an allocation that fails there must only lead to the
// mmap_lock, where the usual reclaim or OOM kill happens.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/cgroup.h"
#include "support/child.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/smaps.h"
#include "support/uapi.h"

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

std::vector<Mapping> fresh_vmas(std::size_t count, const MapRequest &request)
{
	std::vector<Mapping> vmas;
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

/// First accesses at the limit.
struct LimitCase {
	const char *name;
	Backing backing; ///< VMAs of one unit, all of the same file
	bool writes;
};

class AtTheLimit : public testing::TestWithParam<LimitCase>
{
};

// Page cache can be reclaimed, so first accesses at the limit only become slower.
TEST_P(AtTheLimit, FirstAccessesSurvive)
{
	constexpr std::size_t vmas = 400;
	const LimitCase &what = GetParam();
	if (session().disk_dir.empty())
		throw Skip("no file system with a disk behind it (see --disk)");
	Memory memory(what.backing); // its file, and the settings that it needs
	if (what.backing == Backing::thp)
		memory.keep(setting_among(use_zero_page, {"1"}, "1"));
	MapRequest request{.bytes = memory.unit(), .alignment = memory.unit()};
	if (memory.fd() >= 0) {
		request.fd = memory.fd();
		request.flags = MAP_PRIVATE;
	}
	const MemoryGroup group(limit_bytes());

	EXPECT_TRUE(passes_in_child([&] {
		group.enter();
		const Fd file = page_cache(limit_bytes() + limit_bytes() / 4);
		const std::uint64_t reached = group.event("max");
		const auto fresh = fresh_vmas(vmas, request);
		for (std::size_t i = 0; i < vmas; i++) {
			if (what.backing == Backing::thp)
				checked(::madvise(fresh[i].data(), memory.unit(),
						  uapi::madv_hugepage),
					"MADV_HUGEPAGE");
			if (what.writes)
				store(fresh[i].data(), static_cast<std::uint8_t>(i));
			else
				EXPECT_EQ(load(fresh[i].data()), memory.initial_byte(0));
		}
		if (what.backing == Backing::thp && !is_huge_zero_page(fresh.front().data()))
			throw Skip("the huge zero page was not mapped");
		for (std::size_t i = 0; what.writes && i < vmas; i++)
			EXPECT_EQ(load(fresh[i].data()), static_cast<std::uint8_t>(i));
		EXPECT_GT(group.event("max"), reached) << "the limit was not reached";
	}));
	EXPECT_TRUE(memory.file_is_unchanged());
	EXPECT_EQ(group.event("oom_kill"), 0U);
}

INSTANTIATE_TEST_SUITE_P(
	Memcg, AtTheLimit,
	testing::Values(LimitCase{"write_to_anon", Backing::anon, true},
			LimitCase{"write_to_memfd_private", Backing::memfd_private, true},
			LimitCase{"write_to_disk_private", Backing::disk_private, true},
			// Written, these would not fit. A read takes a page table.
			LimitCase{"read_of_thp", Backing::thp, false}),
	[](const testing::TestParamInfo<LimitCase> &info) { return info.param.name; });

/// Writes twice the limit to fresh memory.
void write_beyond_the_limit()
{
	constexpr std::size_t pages = 16;
	const MapRequest request{.bytes = pages * page_bytes()};
	const auto fresh = fresh_vmas(2 * limit_bytes() / request.bytes, request);
	for (const Mapping &map : fresh)
		for (std::size_t at = 0; at < map.size(); at += page_bytes())
			store(map.at(at), 1);
}

// Nothing can be reclaimed: the first write that does not fit kills its own process, which is the
// larger one of the two in the cgroup, and no other.
TEST(Memcg, FirstWriteBeyondTheLimitIsKilled)
{
	const MemoryGroup group(limit_bytes());

	EXPECT_TRUE(passes_in_child([&] {
		group.enter();
		const pid_t writer = checked(::fork(), "fork");
		if (writer == 0) {
			write_beyond_the_limit();
			::_exit(0);
		}
		int status = 0;
		checked(::waitpid(writer, &status, 0), "waitpid");
		EXPECT_TRUE(WIFSIGNALED(status)) << "twice the limit was written";
		EXPECT_EQ(WTERMSIG(status), SIGKILL);
	}));
	EXPECT_EQ(group.event("oom_kill"), 1U);
}

} // namespace

} // namespace pvl
