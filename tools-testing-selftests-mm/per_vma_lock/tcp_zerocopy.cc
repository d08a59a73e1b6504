// SPDX-License-Identifier: GPL-2.0
//
// TCP zerocopy receive: find_tcp_vma() looks its VMA up under the VMA lock and asks for no anon_vma
// (lock_vma_under_rcu() with flags 0), and the received pages are mapped under that lock. The
// mmap_lock must stay untouched, and the VMA without anon_vma.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/lock_cost.h"
#include "support/mapping.h"
#include "support/memory.h"
#include "support/session.h"
#include "support/setting.h"

namespace pvl
{

namespace
{

constexpr std::size_t pages = 4;

/// What is sent: no two pages of it are equal.
std::vector<std::uint8_t> payload()
{
	constexpr std::size_t period = 251;
	std::vector<std::uint8_t> data(pages * page_bytes());
	for (std::size_t i = 0; i < data.size(); i++)
		data[i] = static_cast<std::uint8_t>(i % period);
	return data;
}

/// A TCP connection over the loopback device with the payload waiting to be received, in pages that
/// can be mapped.
class Connection
{
    public:
	Connection()
	{
		constexpr unsigned long interface_up = 1; // IFF_UP
		const std::string flags = "/sys/class/net/lo/flags";
		const std::string now = first_line(flags);
		if ((std::stoul(now, nullptr, 0) & interface_up) == 0)
			up_ = std::make_unique<SettingGuard>(flags, "0x9");

		const Fd listener(
			checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
		sockaddr_in address{};
		socklen_t length = sizeof(address);
		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		auto *generic = reinterpret_cast<sockaddr *>(&address);
		checked(::bind(listener.get(), generic, length), "bind");
		checked(::listen(listener.get(), 1), "listen");
		checked(::getsockname(listener.get(), generic, &length), "getsockname");
		sender_ = Fd(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
		if (::connect(sender_.get(), generic, length) != 0)
			throw Skip("no TCP over the loopback device");
		receiver_ = Fd(checked(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC),
				       "accept"));

		send_whole_pages();
		std::vector<std::uint8_t> peeked(pages * page_bytes());
		checked(::recv(receiver_.get(), peeked.data(), peeked.size(),
			       MSG_PEEK | MSG_WAITALL),
			"recv MSG_PEEK");
	}

	[[nodiscard]] int receiver() const noexcept
	{
		return receiver_.get();
	}

    private:
	// Only whole order-0 pages of no file and no process can be mapped. A pipe is made of such,
	// and splice(2) hands them on to the receiver as they are; a socket's own buffers are of a
	// higher order.
	void send_whole_pages()
	{
		std::array<int, 2> ends{};
		checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
		const Fd read_end(ends[0]);
		const Fd write_end(ends[1]);
		const std::vector<std::uint8_t> data = payload();
		checked(::write(write_end.get(), data.data(), data.size()), "write to a pipe");
		for (std::size_t left = data.size(); left != 0;)
			left -= static_cast<std::size_t>(
				checked(::splice(read_end.get(), nullptr, sender_.get(), nullptr,
						 left, SPLICE_F_MORE),
					"splice to a socket"));
	}

	std::unique_ptr<SettingGuard> up_;
	Fd sender_;
	Fd receiver_;
};

class TcpZerocopy : public testing::Test
{
    protected:
	TcpZerocopy()
	{
		constexpr std::size_t largest = 16384; // bytes, of a page that fits a TCP segment
		if (page_bytes() > largest)
			throw Skip("a page is larger than a TCP segment");
		MapRequest request;
		request.bytes = pages * page_bytes();
		request.prot = PROT_READ;
		request.flags = MAP_PRIVATE; // no anon_vma, and never to get one here
		request.fd = connection_.receiver();
		try {
			map_ = Mapping(request);
		} catch (const std::system_error &error) {
			throw Skip(std::string("mmap of a TCP socket: ") + error.what());
		}
	}

	// The measured call.
	void receive()
	{
		zerocopy_.address = reinterpret_cast<std::uintptr_t>(map_.data());
		zerocopy_.length = static_cast<std::uint32_t>(map_.size());
		socklen_t length = sizeof(zerocopy_);
		result_ = ::getsockopt(connection_.receiver(), IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE,
				       &zerocopy_, &length);
	}

	// Whether every page was mapped, none copied, and holds what was sent.
	void expect_received() const
	{
		const std::vector<std::uint8_t> wanted = payload();
		ASSERT_EQ(result_, 0);
		ASSERT_EQ(zerocopy_.length, wanted.size()) << "bytes that were mapped";
		EXPECT_EQ(first_difference(map_.data(), wanted.data(), wanted.size()),
			  wanted.size());
	}

	Connection connection_;
	Mapping map_;
	tcp_zerocopy_receive zerocopy_{};
	int result_ = -1;
};

TEST_F(TcpZerocopy, DataIsRight)
{
	receive();
	expect_received();
	std::uint8_t rest = 0;
	EXPECT_EQ(::recv(connection_.receiver(), &rest, 1, MSG_DONTWAIT), -1);
}

TEST_F(TcpZerocopy, KeepsVmaLock)
{
	LockCounter counter;
	const LockEvents seen = counter.measure([&] { receive(); });
	expect_received();
	if (!HasFailure())
		expect_cost("tcp_zerocopy/receive/no_anon_vma", ExpectedCost::both(vma_lock_only),
			    seen);
}

} // namespace

} // namespace pvl
