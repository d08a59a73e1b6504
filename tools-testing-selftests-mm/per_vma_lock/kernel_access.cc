// SPDX-License-Identifier: GPL-2.0
//
// User memory faulted in by the kernel: copies in and out, and get_user_pages(). These faults never
// run under the VMA lock, so the anon_vma is prepared under the mmap_lock that they hold.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/story.h"
#include "support/uapi.h"

namespace pvl
{

namespace
{

constexpr std::uint8_t moved = 0x66;
constexpr std::size_t little = 64;  // bytes: all in one page
constexpr std::size_t block = 4096; // bytes of a direct transfer

/// A pipe; @p bytes of the value "moved" are waiting in it.
struct Pipe {
	Fd read_end;
	Fd write_end;

	void open(std::size_t bytes)
	{
		std::array<int, 2> ends{};
		checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
		read_end = Fd(ends[0]);
		write_end = Fd(ends[1]);
		const std::vector<std::uint8_t> content(bytes, moved);
		checked(::write(write_end.get(), content.data(), bytes), "write to a pipe");
	}
};

/// Expects @p bytes of "moved" at each of @p offsets, and everything else as it was made.
void expect_moved_in(Memory &memory, std::initializer_list<std::size_t> offsets, std::size_t bytes)
{
	auto shadow = memory.shadow();
	for (const std::size_t offset : offsets)
		std::fill_n(shadow.begin() + static_cast<std::ptrdiff_t>(offset), bytes, moved);
	EXPECT_EQ(first_difference(memory.map().data(), shadow.data(), shadow.size()),
		  shadow.size());
	EXPECT_TRUE(is_shared(memory.backing()) || memory.file_is_unchanged());
}

// What the first kernel read of private memory without anon_vma prepares.
ExpectedCost read_cost(Backing backing, std::uint64_t trylocks)
{
	const LockCost plain{1, trylocks, 0};
	const LockCost prepares{1, trylocks, 1};

	if (backing == Backing::hugetlb_private) // no file's page, no zero page: the read allocates
		return ExpectedCost::both(prepares);
	if (backing == Backing::thp)
		return {prepares, plain};
	return ExpectedCost::both(plain);
}

ExpectedCost write_cost(Backing backing, std::uint64_t trylocks)
{
	return ExpectedCost::both({1, trylocks, is_shared(backing) ? 0U : 1U});
}

Story copy_in(Backing backing)
{
	auto pipe = std::make_shared<Pipe>();
	Story story;
	story.kind = "kernel/read_syscall_into/" + name_of(backing);
	story.backing = backing;
	story.cost = write_cost(backing, 1);
	story.before = [=](Memory &) { pipe->open(little); };
	story.access = [=](Memory &memory) {
		EXPECT_EQ(::read(pipe->read_end.get(), memory.unit_at(0), little),
			  static_cast<ssize_t>(little));
	};
	story.check = [](Memory &memory) { expect_moved_in(memory, {0}, little); };
	return story;
}

Story copy_in_two_segments(Backing backing)
{
	auto pipe = std::make_shared<Pipe>();
	Story story;
	story.kind = "kernel/readv_into/" + name_of(backing);
	story.backing = backing;
	story.cost = ExpectedCost::both({2, 2, is_shared(backing) ? 0U : 1U});
	story.before = [=](Memory &) { pipe->open(2 * little); };
	story.access = [=](Memory &memory) {
		const std::array<iovec, 2> parts{
			{{memory.unit_at(0), little}, {memory.unit_at(1), little}}};
		EXPECT_EQ(::readv(pipe->read_end.get(), parts.data(), parts.size()),
			  static_cast<ssize_t>(2 * little));
	};
	story.check = [](Memory &memory) { expect_moved_in(memory, {0, memory.unit()}, little); };
	return story;
}

Story copy_out(Backing backing)
{
	auto pipe = std::make_shared<Pipe>();
	Story story;
	story.kind = "kernel/write_syscall_from/" + name_of(backing);
	story.backing = backing;
	story.cost = read_cost(backing, 1);
	story.before = [=](Memory &) { pipe->open(0); };
	story.access = [=](Memory &memory) {
		EXPECT_EQ(::write(pipe->write_end.get(), memory.unit_at(0), little),
			  static_cast<ssize_t>(little));
	};
	story.check = [=](Memory &memory) {
		std::array<std::uint8_t, little> seen{};
		EXPECT_EQ(::read(pipe->read_end.get(), seen.data(), little),
			  static_cast<ssize_t>(little));
		for (std::size_t i = 0; i < little; i++)
			ASSERT_EQ(seen.at(i), memory.initial_byte(i));
	};
	return story;
}

// process_vm_readv() and process_vm_writev() pass @p done bytes; a kernel without them has a
// reason.
void expect_passed(ssize_t done)
{
	if (done < 0 && (errno == ENOSYS || errno == EPERM))
		throw Skip(std::string("process_vm_readv or writev: ") + std::strerror(errno));
	EXPECT_EQ(done, static_cast<ssize_t>(little));
}

Story vm_write(Backing backing)
{
	auto source = std::make_shared<std::array<std::uint8_t, little>>();
	source->fill(moved);
	Story story;
	story.kind = "kernel/process_vm_writev_into/" + name_of(backing);
	story.backing = backing;
	story.cost = write_cost(backing, 0);
	story.before = nothing;
	story.access = [=](Memory &memory) {
		const iovec local{source->data(), little};
		const iovec remote{memory.unit_at(0), little};
		expect_passed(::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0));
	};
	story.check = [](Memory &memory) { expect_moved_in(memory, {0}, little); };
	return story;
}

Story vm_read(Backing backing)
{
	auto copy = std::make_shared<std::array<std::uint8_t, little>>();
	copy->fill(moved);
	Story story;
	story.kind = "kernel/process_vm_readv_from/" + name_of(backing);
	story.backing = backing;
	story.cost = read_cost(backing, 0);
	story.before = nothing;
	story.access = [=](Memory &memory) {
		const iovec local{copy->data(), little};
		const iovec remote{memory.unit_at(0), little};
		expect_passed(::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0));
	};
	story.check = [=](Memory &memory) {
		for (std::size_t i = 0; i < little; i++)
			ASSERT_EQ(copy->at(i), memory.initial_byte(i));
		expect_contents(memory, {});
	};
	return story;
}

/// A file on a disk, opened for direct I/O, whose first block is full of "moved".
Fd direct_file()
{
	const Session &run = session();
	if (run.disk_dir.empty())
		throw Skip("no file system with a disk behind it (see --disk)");
	std::string path = (run.disk_dir / "per_vma_lock.XXXXXX").string();
	const Fd fd(::mkostemp(path.data(), O_CLOEXEC));
	if (!fd)
		throw Skip("cannot create a file on " + run.disk_dir.string());
	Fd direct(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
	::unlink(path.c_str());
	if (!direct)
		throw Skip("no O_DIRECT on " + run.disk_dir.string());
	const std::vector<std::uint8_t> content(block, moved);
	checked(::write(fd.get(), content.data(), block), "write");
	checked(::fsync(fd.get()), "fsync");
	return direct;
}

Story direct_in(Backing backing)
{
	auto file = std::make_shared<Fd>();
	Story story;
	story.kind = "kernel/direct_read_into/" + name_of(backing);
	story.backing = backing;
	story.cost = write_cost(backing, 0);
	story.before = [=](Memory &) { *file = direct_file(); };
	story.access = [=](Memory &memory) {
		EXPECT_EQ(::pread(file->get(), memory.unit_at(0), block, 0),
			  static_cast<ssize_t>(block));
	};
	story.check = [](Memory &memory) { expect_moved_in(memory, {0}, block); };
	return story;
}

Story direct_out(Backing backing)
{
	auto file = std::make_shared<Fd>();
	Story story;
	story.kind = "kernel/direct_write_from/" + name_of(backing);
	story.backing = backing;
	story.cost = read_cost(backing, 0);
	story.before = [=](Memory &) { *file = direct_file(); };
	story.access = [=](Memory &memory) {
		EXPECT_EQ(::pwrite(file->get(), memory.unit_at(0), block, 0),
			  static_cast<ssize_t>(block));
	};
	story.check = [=](Memory &memory) {
		Memory back(Backing::anon);
		EXPECT_EQ(::pread(file->get(), back.unit_at(0), block, 0),
			  static_cast<ssize_t>(block));
		for (std::size_t i = 0; i < block; i++)
			ASSERT_EQ(back.unit_at(0)[i], memory.initial_byte(i)) << "byte " << i;
	};
	return story;
}

Story splice_out(Backing backing)
{
	auto pipe = std::make_shared<Pipe>();
	Story story;
	story.kind = "kernel/vmsplice_from/" + name_of(backing);
	story.backing = backing;
	story.cost = read_cost(backing, 0);
	story.before = [=](Memory &) { pipe->open(0); };
	story.access = [=](Memory &memory) {
		const iovec part{memory.unit_at(0), little};
		EXPECT_EQ(::vmsplice(pipe->write_end.get(), &part, 1, 0),
			  static_cast<ssize_t>(little));
	};
	story.check = [=](Memory &memory) {
		std::array<std::uint8_t, little> seen{};
		EXPECT_EQ(::read(pipe->read_end.get(), seen.data(), little),
			  static_cast<ssize_t>(little));
		for (std::size_t i = 0; i < little; i++)
			ASSERT_EQ(seen.at(i), memory.initial_byte(i));
	};
	return story;
}

/// A child that has stopped for its tracer, killed by the destructor.
struct Tracee {
	pid_t pid = -1;

	Tracee() = default;
	Tracee(const Tracee &) = delete;
	Tracee &operator=(const Tracee &) = delete;
	~Tracee()
	{
		if (pid > 0) {
			::kill(pid, SIGKILL);
			::waitpid(pid, nullptr, 0);
		}
	}

	void start()
	{
		pid = ::fork();
		if (pid == 0) {
			if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0)
				::raise(SIGSTOP);
			::_exit(0);
		}
		int status = 0;
		if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			throw Skip("cannot trace a child");
	}
};

Story poke(Backing backing)
{
	constexpr long word = 0x6666666666666666;
	auto tracee = std::make_shared<Tracee>();
	Story story;
	story.kind = "kernel/ptrace_poke_read_only/" + name_of(backing);
	story.backing = backing;
	story.prot = PROT_READ;
	story.cost = ExpectedCost::both({1, 0, 1});
	story.before = [=](Memory &) { tracee->start(); };
	story.access = [=](Memory &memory) {
		EXPECT_EQ(::ptrace(PTRACE_POKEDATA, tracee->pid, memory.unit_at(0), word), 0);
	};
	story.check = [=](Memory &memory) {
		errno = 0;
		EXPECT_EQ(::ptrace(PTRACE_PEEKDATA, tracee->pid, memory.unit_at(0), nullptr), word);
		EXPECT_EQ(errno, 0);
		expect_contents(memory, {}); // ours is not the child's
	};
	return story;
}

/// Pins unit 0 for reading and for good: a page that others may still change is replaced by one of
/// this VMA's own (FAULT_FLAG_UNSHARE).
Story long_term_pin(const std::string &name, Backing backing, const ExpectedCost &cost,
		    const Step &before)
{
	auto gup_test = std::make_shared<Fd>();
	Story story;
	story.kind = "kernel/long_term_pin" + name + '/' + name_of(backing);
	story.backing = backing;
	story.cost = cost;
	story.before = [=](Memory &memory) {
		before(memory);
		*gup_test = Fd(::open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC));
		if (!*gup_test)
			throw Skip("no gup_test: kernel without CONFIG_GUP_TEST, or not root");
	};
	story.access = [=](Memory &memory) {
		const uapi::PinLongtermTest pin{reinterpret_cast<std::uintptr_t>(memory.unit_at(0)),
						memory.unit(), 0};
		checked(::ioctl(gup_test->get(), uapi::pin_longterm_test_start, &pin),
			"PIN_LONGTERM_TEST_START");
	};
	story.check = [=](Memory &memory) {
		// Write by the page table, read by the pin: they must be one page.
		store(memory.unit_at(0), moved);
		std::vector<std::uint8_t> pinned(memory.unit());
		const auto to = reinterpret_cast<std::uintptr_t>(pinned.data());
		checked(::ioctl(gup_test->get(), uapi::pin_longterm_test_read, &to),
			"PIN_LONGTERM_TEST_READ");
		EXPECT_EQ(first_difference(memory.unit_at(0), pinned.data(), pinned.size()),
			  pinned.size());
		expect_contents(memory, {{0, moved}});
	};
	story.finish = [=](Memory &) { *gup_test = Fd(); };
	return story;
}

std::vector<Story> stories()
{
	constexpr ExpectedCost pinned = ExpectedCost::both({1, 0, 1});
	std::vector<Story> all;
	for (const Backing backing :
	     {Backing::anon, Backing::memfd_private, Backing::disk_private,
	      Backing::hugetlb_private, Backing::hugetlb_memfd_private, Backing::thp}) {
		for (const auto &make : {copy_in, copy_in_two_segments, copy_out, vm_write, vm_read,
					 direct_in, direct_out, splice_out})
			all.push_back(make(backing));
	}
	for (const auto &make : {copy_in, copy_out, vm_write, vm_read, direct_in, direct_out})
		all.push_back(make(Backing::memfd_shared));
	for (const Backing backing : {Backing::anon, Backing::memfd_private,
				      Backing::readonly_fd_private, Backing::disk_private})
		all.push_back(poke(backing));
	for (const Backing backing : {Backing::anon, Backing::memfd_private, Backing::disk_private,
				      Backing::hugetlb_memfd_private, Backing::thp}) {
		// A read of the huge zero page brings an anon_vma on mainline.
		const ExpectedCost after_read =
			backing == Backing::thp ? ExpectedCost{{1, 0, 0}, {1, 0, 1}} : pinned;
		all.push_back(long_term_pin("", backing, pinned, nothing));
		all.push_back(long_term_pin("_after_read", backing, after_read, read_unchanged));
	}
	return all;
}

INSTANTIATE_TEST_SUITE_P(Kernel, Stories, testing::ValuesIn(stories()), story_name);

} // namespace

} // namespace pvl
