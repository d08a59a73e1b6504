// SPDX-License-Identifier: GPL-2.0
//
// io_uring: the kernel faults user memory in on behalf of a request, in the submitting thread, in a
// worker, or while it pins registered buffers.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/story.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t from_file = 0x42;
constexpr unsigned queue_entries = 8;

/// A ring; torn down by the destructor. Throws Skip when this user or kernel cannot have one.
class Ring
{
    public:
	explicit Ring(unsigned flags = 0)
	{
		const int error = ::io_uring_queue_init(queue_entries, &ring_, flags);
		if (error != 0)
			throw Skip(std::string("io_uring_setup: ") + std::strerror(-error));
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
		io_uring_cqe *completion = nullptr;
		int error = ::io_uring_submit_and_wait(&ring_, 1);
		if (error >= 0)
			error = ::io_uring_wait_cqe(&ring_, &completion);
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
/// being waited for, so the request completes in the submitting thread.
struct Io {
	std::unique_ptr<Ring> ring;
	Fd read_end;
	Fd write_end;

	void open(std::size_t bytes)
	{
		std::array<int, 2> ends{};
		ring = std::make_unique<Ring>();
		checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
		read_end = Fd(ends[0]);
		write_end = Fd(ends[1]);
		const std::vector<std::uint8_t> content(bytes, from_file);
		if (::write(write_end.get(), content.data(), bytes) != static_cast<ssize_t>(bytes))
			throw_errno("write to a pipe");
	}
};

Story read_story(Backing backing, const ExpectedCost &cost)
{
	auto io = std::make_shared<Io>();
	Story story;
	story.kind = "io_uring/read/" + name_of(backing);
	story.backing = backing;
	story.cost = cost;
	story.before = [=](Memory &memory) { io->open(memory.unit()); };
	story.access = [=](Memory &memory) {
		::io_uring_prep_read(io->ring->entry(), io->read_end.get(), memory.unit_at(0),
				     static_cast<unsigned>(memory.unit()), 0);
		EXPECT_EQ(io->ring->submit_and_wait(), static_cast<int>(memory.unit()));
	};
	story.check = [](Memory &memory) {
		const std::vector<std::uint8_t> wanted(memory.unit(), from_file);
		EXPECT_EQ(first_difference(memory.unit_at(0), wanted.data(), memory.unit()),
			  memory.unit());
		EXPECT_TRUE(is_shared(memory.backing()) || memory.file_is_unchanged());
	};
	return story;
}

std::vector<Story> stories()
{
	// A fault taken by the kernel's own copy takes the mmap_lock on either kernel.
	constexpr ExpectedCost copy_to_user = ExpectedCost::both({1, 1, 1});

	return {read_story(Backing::memfd_private, copy_to_user)};
}

INSTANTIATE_TEST_SUITE_P(IoUring, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
