// SPDX-License-Identifier: GPL-2.0
#include "support/swap.h"

#include <fcntl.h>
#include <sys/swap.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "support/error.h"
#include "support/fd.h"
#include "support/mapping.h"

namespace pvl
{

namespace
{

constexpr std::size_t swap_bytes = std::size_t{32} << 20;

// The device name of a zram device that has no size yet; empty when there is none.
std::string unused_zram()
{
	std::error_code none;
	for (const auto &entry : std::filesystem::directory_iterator("/sys/block", none)) {
		std::string name = entry.path().filename().string();
		if (name.compare(0, 4, "zram") == 0 && first_line(entry.path() / "disksize") == "0")
			return name;
	}
	return {};
}

// The header that mkswap writes: union swap_header in include/linux/swap.h.
void write_header(const std::string &device)
{
	constexpr std::size_t info_offset = 1024;
	constexpr char magic[] = "SWAPSPACE2";
	std::vector<char> page(page_bytes(), 0);
	const auto put = [&](std::size_t at, std::uint32_t value) {
		std::memcpy(page.data() + info_offset + at, &value, sizeof(value));
	};

	put(0, 1);							   // version
	put(4, static_cast<std::uint32_t>(swap_bytes / page_bytes() - 1)); // last page
	std::memcpy(page.data() + page.size() - (sizeof(magic) - 1), magic, sizeof(magic) - 1);
	const Fd fd(::open(device.c_str(), O_WRONLY | O_CLOEXEC));
	if (!fd || ::write(fd.get(), page.data(), page.size()) != static_cast<ssize_t>(page.size()))
		throw Skip("cannot write a swap header to " + device);
}

} // namespace

ZramSwap::ZramSwap()
{
	const std::string name = unused_zram();
	if (name.empty())
		throw Skip("no unused zram device for swap");
	device_ = "/dev/" + name;
	reset_ = "/sys/block/" + name + "/reset";
	reset_slot_ = SettingJournal::note_write(reset_, "1");
	if (const int error =
		    write_text("/sys/block/" + name + "/disksize", std::to_string(swap_bytes));
	    error != 0) {
		SettingJournal::forget(reset_slot_); // another process has taken it
		throw Skip("cannot set the size of " + device_ + ": " + std::strerror(error));
	}
	write_header(device_);
	swapoff_slot_ = SettingJournal::note_swapoff(device_);
	if (::swapon(device_.c_str(), 0) != 0)
		throw Skip("swapon " + device_ + ": " + std::strerror(errno));
}

ZramSwap::~ZramSwap()
{
	SettingJournal::undo(swapoff_slot_);
	SettingJournal::undo(reset_slot_);
}

} // namespace pvl
