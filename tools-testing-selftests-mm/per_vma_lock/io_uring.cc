// SPDX-License-Identifier: GPL-2.0
//
// io_uring: the kernel faults user memory in on behalf of a request, in the submitting thread, in a
// worker, or while it pins registered buffers.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/race.h"
#include "support/session.h"
#include "support/story.h"
#include "support/uapi.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t from_file = 0x42;
constexpr unsigned queue_entries = 8;

/// Throws for @p error, what io_uring's @p call returned, unless it is 0: Skip when this kernel
/// does not have it or this user may not (RLIMIT_MEMLOCK included), else std::system_error.
void require(int error, const char *call)
{
	const bool denied = error == -ENOSYS || error == -EPERM || (error == -ENOMEM && !is_root());
	if (denied)
		throw Skip(std::string(call) + ": " + std::strerror(-error));
	errno = -error;
	if (error != 0)
		throw_errno(call);
}

/// A ring; torn down by the destructor. Throws Skip when this user or kernel cannot have one.
class Ring
{
    public:
	explicit Ring(unsigned flags = 0, unsigned entries = queue_entries)
	{
		const int error = ::io_uring_queue_init(entries, &ring_, flags);
		require(error, "io_uring_setup");
	}
	Ring(const Ring &) = delete;
	Ring &operator=(const Ring &) = delete;
	~Ring()
	{
		::io_uring_queue_exit(&ring_);
	}

	io_uring *get() noexcept
	{
		return &ring_;
	}

	io_uring_sqe *entry()
	{
		return ::io_uring_get_sqe(&ring_);
	}

	/// Submits and waits for one completion; returns its result (bytes or -errno).
	int submit_and_wait()
	{
		const int error = ::io_uring_submit_and_wait(&ring_, 1);
		return error < 0 ? error : wait();
	}

	/// Waits for one completion; returns its result (bytes or -errno).
	int wait()
	{
		io_uring_cqe *completion = nullptr;
		const int error = ::io_uring_wait_cqe(&ring_, &completion);
		if (error < 0)
			return error;
		const int result = completion->res;
		::io_uring_cqe_seen(&ring_, completion);
		return result;
	}

    private:
	io_uring ring_{};
};

/// A ring and a pipe full of data, shared by a story's steps. A pipe with data is read without
/// being waited for, so a plain request completes in the submitting thread.
struct Io {
	std::unique_ptr<Ring> ring;
	Fd read_end;
	Fd write_end;

	void open(std::size_t bytes, unsigned flags = 0)
	{
		std::array<int, 2> ends{};
		ring = std::make_unique<Ring>(flags);
		checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
		read_end = Fd(ends[0]);
		write_end = Fd(ends[1]);
		const std::vector<std::uint8_t> content(bytes, from_file);
		if (::write(write_end.get(), content.data(), bytes) != static_cast<ssize_t>(bytes))
			throw_errno("write to a pipe");
	}
};

constexpr std::size_t little = 64; // bytes: all in one page

void expect_read_in(Memory &memory)
{
	auto shadow = memory.shadow();
	std::fill_n(shadow.begin(), little, from_file);
	EXPECT_EQ(first_difference(memory.map().data(), shadow.data(), shadow.size()),
		  shadow.size());
	EXPECT_TRUE(is_shared(memory.backing()) || memory.file_is_unchanged());
}

// A fault taken by the kernel's own copy takes the mmap_lock on either kernel.
ExpectedCost copy_in_cost(Backing backing)
{
	return ExpectedCost::both({1, 1, is_shared(backing) ? 0U : 1U});
}

ExpectedCost copy_out_cost(Backing backing)
{
	if (backing == Backing::hugetlb_private) // no zero page: the read allocates
		return ExpectedCost::both({1, 1, 1});
	if (backing == Backing::thp)
		return {{1, 1, 1}, {1, 1, 0}};
	return ExpectedCost::both({1, 1, 0});
}

/// A read request into the memory, by a ring with @p ring_flags, entry flags @p entry_flags.
Story read_story(const std::string &name, Backing backing, unsigned ring_flags = 0,
		 unsigned entry_flags = 0)
{
	auto io = std::make_shared<Io>();
	Story story;
	story.kind = "io_uring/" + name + '/' + name_of(backing);
	story.backing = backing;
	story.cost = copy_in_cost(backing);
	if (ring_flags != 0 || entry_flags != 0)
		story.counted = Counted::thread_and_new_ones; // a thread of io_uring's does it
	story.before = [=](Memory &) { io->open(little, ring_flags); };
	story.access = [=](Memory &memory) {
		io_uring_sqe *entry = io->ring->entry();
		::io_uring_prep_read(entry, io->read_end.get(), memory.unit_at(0), little, 0);
		entry->flags |= static_cast<std::uint8_t>(entry_flags);
		EXPECT_EQ(io->ring->submit_and_wait(), static_cast<int>(little));
	};
	story.check = expect_read_in;
	return story;
}

Story write_story(Backing backing)
{
	auto io = std::make_shared<Io>();
	Story story;
	story.kind = "io_uring/write/" + name_of(backing);
	story.backing = backing;
	story.cost = copy_out_cost(backing);
	story.before = [=](Memory &) { io->open(0); };
	story.access = [=](Memory &memory) {
		::io_uring_prep_write(io->ring->entry(), io->write_end.get(), memory.unit_at(0),
				      little, 0);
		EXPECT_EQ(io->ring->submit_and_wait(), static_cast<int>(little));
	};
	story.check = [=](Memory &memory) {
		std::array<std::uint8_t, little> seen{};
		EXPECT_EQ(::read(io->read_end.get(), seen.data(), little),
			  static_cast<ssize_t>(little));
		for (std::size_t i = 0; i < little; i++)
			ASSERT_EQ(seen.at(i), memory.initial_byte(i));
	};
	return story;
}

/// Registers unit 0 as a buffer, which pins it for good; then reads into it.
Story fixed_story(const std::string &name, Backing backing, const ExpectedCost &cost,
		  const Step &before = nothing)
{
	auto io = std::make_shared<Io>();
	Story story;
	story.kind = "io_uring/register_buffer/" + name;
	story.backing = backing;
	story.cost = cost;
	story.before = [=](Memory &memory) {
		before(memory);
		io->open(little);
	};
	story.access = [=](Memory &memory) {
		const iovec buffer{memory.unit_at(0), memory.unit()};
		const int error = ::io_uring_register_buffers(io->ring->get(), &buffer, 1);
		require(error, "io_uring_register");
	};
	story.check = [=](Memory &memory) {
		// Fill by the pinned page, look through the page table: they must be one page.
		::io_uring_prep_read_fixed(io->ring->entry(), io->read_end.get(), memory.unit_at(0),
					   little, 0, 0);
		EXPECT_EQ(io->ring->submit_and_wait(), static_cast<int>(little));
		expect_read_in(memory);
	};
	// Else the pages are freed some time after this process, while the next test wants them.
	story.finish = [=](Memory &) {
		if (io->ring)
			::io_uring_unregister_buffers(io->ring->get());
	};
	return story;
}

Story madvise_story(Backing backing)
{
	auto io = std::make_shared<Io>();
	Story story;
	story.kind = "io_uring/madvise_populate_write/" + name_of(backing);
	story.backing = backing;
	story.cost = ExpectedCost::both({1, 0, 1});
	story.counted = Counted::thread_and_new_ones; // a worker does it
	story.before = [=](Memory &) { io->open(0); };
	story.access = [=](Memory &memory) {
		::io_uring_prep_madvise(io->ring->entry(), memory.map().data(),
					static_cast<off_t>(memory.map().size()),
					uapi::madv_populate_write);
		EXPECT_EQ(io->ring->submit_and_wait(), 0);
	};
	story.check = [](Memory &memory) { expect_contents(memory, {}); };
	return story;
}

constexpr std::array kinds{Backing::anon,	  Backing::memfd_private,
			   Backing::disk_private, Backing::hugetlb_private,
			   Backing::thp,	  Backing::memfd_shared};
constexpr std::array pinned_kinds{Backing::anon, Backing::memfd_private, Backing::thp,
				  Backing::hugetlb_private};

std::vector<Story> stories()
{
	constexpr ExpectedCost pinned = ExpectedCost::both({1, 0, 1});
	std::vector<Story> all;

	for (const Backing backing : kinds) {
		all.push_back(read_story("read", backing));
		all.push_back(read_story("read_by_worker", backing, 0, IOSQE_ASYNC));
		all.push_back(read_story("read_by_sqpoll_thread", backing, IORING_SETUP_SQPOLL));
		all.push_back(write_story(backing));
	}
	for (const Backing backing : pinned_kinds) {
		all.push_back(fixed_story(name_of(backing), backing, pinned));
		all.push_back(madvise_story(backing));
	}
	// The write through the pin replaces the huge zero page, which brought no anon_vma.
	all.push_back(fixed_story("huge_zero_page", Backing::thp, {{1, 0, 0}, {1, 0, 1}},
				  read_unchanged));
	return all;
}

INSTANTIATE_TEST_SUITE_P(IoUring, Stories, testing::ValuesIn(stories()), story_name);

/// Who carries out requests beside the application, and whether the memory has an anon_vma by then.
struct Reader {
	const char *name;
	unsigned ring_flags;
	unsigned entry_flags;
	bool anon_vma;
};

class Readers : public testing::TestWithParam<Reader>
{
};

/// Threads of io_uring's read a file into the even pages while the application writes to the odd
/// ones, and another thread keeps the mmap_lock busy: nobody writes to another one's page, and the
/// fault that comes first gives the VMA its anon_vma.
TEST_P(Readers, FillEvenPagesBesideStoresToOddOnes)
{
	constexpr std::size_t requests = 16;
	const Reader &reader = GetParam();
	Ring ring(reader.ring_flags, requests);
	const Memory file(Backing::memfd_shared, PROT_READ, 2 * requests);
	const Memory storm(Backing::anon);
	const std::size_t page = file.unit();
	Race race;

	race.add([&](Random &random) {
		const Memory memory(Backing::anon, PROT_READ | PROT_WRITE, 2 * requests);
		auto shadow = memory.shadow();
		if (reader.anon_vma)
			shadow.at((memory.units() - 1) * page) = memory.prepare_anon_vma();
		for (std::size_t at = 0; at < shadow.size(); at += 2 * page) {
			io_uring_sqe *entry = ring.entry();
			::io_uring_prep_read(entry, file.fd(), memory.map().at(at),
					     static_cast<unsigned>(page), at);
			entry->flags |= static_cast<std::uint8_t>(reader.entry_flags);
			for (std::size_t i = at; i < at + page; i++)
				shadow[i] = file.initial_byte(i);
		}
		EXPECT_EQ(::io_uring_submit(ring.get()), static_cast<int>(requests));
		for (std::size_t i = 0; i < 2 * requests; i++) {
			const std::size_t odd = 2 * random.below(requests) + 1;
			const std::size_t at = odd * page + random.below(page);
			shadow.at(at) = random.byte();
			store(memory.map().at(at), shadow[at]);
		}
		for (std::size_t i = 0; i < requests; i++)
			EXPECT_EQ(ring.wait(), static_cast<int>(page));
		EXPECT_EQ(first_difference(memory.map().data(), shadow.data(), shadow.size()),
			  shadow.size());
	});
	race.add([&](Random &random) {
		const int prot = random.one_in(2) ? PROT_READ : PROT_READ | PROT_WRITE;
		checked(::mprotect(storm.unit_at(0), page, prot), "mprotect");
	});
	race.run();
}

INSTANTIATE_TEST_SUITE_P(
	IoUring, Readers,
	testing::Values(Reader{"worker_no_anon_vma", 0, IOSQE_ASYNC, false},
			Reader{"worker_anon_vma", 0, IOSQE_ASYNC, true},
			Reader{"sqpoll_thread_no_anon_vma", IORING_SETUP_SQPOLL, 0, false},
			Reader{"sqpoll_thread_anon_vma", IORING_SETUP_SQPOLL, 0, true}),
	[](const testing::TestParamInfo<Reader> &info) { return info.param.name; });

} // namespace

} // namespace pvl
