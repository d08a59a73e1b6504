// SPDX-License-Identifier: GPL-2.0
//
// TCP zerocopy receive looks its VMA up under the per-VMA lock and wants no anon_vma, whatever the
// VMA is: the mmap_lock must stay untouched.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "support/error.h"
#include "support/lock_cost.h"
#include "support/mapping.h"
#include "support/session.h"
#include "support/setting.h"

namespace pvl
{

namespace
{

constexpr std::size_t pages = 4;
constexpr std::uint8_t sent = 0x19;

/// A TCP connection over the loopback device with data waiting to be received.
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

		const std::vector<std::uint8_t> data(pages * page_bytes(), sent);
		checked(::write(sender_.get(), data.data(), data.size()), "write to a socket");
		std::vector<std::uint8_t> peeked(data.size());
		checked(::recv(receiver_.get(), peeked.data(), peeked.size(),
			       MSG_PEEK | MSG_WAITALL),
			"recv MSG_PEEK");
	}

	[[nodiscard]] int receiver() const noexcept
	{
		return receiver_.get();
	}

    private:
	std::unique_ptr<SettingGuard> up_;
	Fd sender_;
	Fd receiver_;
};

class TcpZerocopy : public testing::Test
{
    protected:
	TcpZerocopy()
	{
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

	// The measured call; returns what getsockopt() returns.
	int receive()
	{
		zerocopy_.address = reinterpret_cast<std::uintptr_t>(map_.data());
		zerocopy_.length = static_cast<std::uint32_t>(map_.size());
		socklen_t length = sizeof(zerocopy_);
		return ::getsockopt(connection_.receiver(), IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE,
				    &zerocopy_, &length);
	}

	Connection connection_;
	Mapping map_;
	tcp_zerocopy_receive zerocopy_{};
};

TEST_F(TcpZerocopy, DataIsRight)
{
	const std::size_t total = pages * page_bytes();
	ASSERT_EQ(receive(), 0);
	for (std::size_t i = 0; i < zerocopy_.length; i++)
		ASSERT_EQ(map_.data()[i], sent);
	// What could not be mapped (loopback data seldom can) is still there to be read.
	std::vector<std::uint8_t> rest(total - zerocopy_.length);
	EXPECT_EQ(::recv(connection_.receiver(), rest.data(), rest.size(), MSG_WAITALL),
		  static_cast<ssize_t>(rest.size()));
	EXPECT_EQ(rest, std::vector<std::uint8_t>(rest.size(), sent));
}

TEST_F(TcpZerocopy, KeepsVmaLock)
{
	LockCounter counter;
	int result = -1;
	const LockEvents seen = counter.measure([&] { result = receive(); });
	ASSERT_EQ(result, 0);
	expect_cost("tcp_zerocopy/receive/no_anon_vma", ExpectedCost::both(vma_lock_only), seen);
}

} // namespace

} // namespace pvl
