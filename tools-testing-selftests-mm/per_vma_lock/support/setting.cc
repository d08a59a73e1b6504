// SPDX-License-Identifier: GPL-2.0
#include "support/setting.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <new>

#include "support/error.h"
#include "support/fd.h"

namespace pvl
{

namespace
{

constexpr std::size_t journal_entries = 32;
constexpr std::size_t text_bytes = 160;

enum class Undo { write_value, swap_off, remove_dir };

struct Entry {
	std::array<char, text_bytes> path{};
	std::array<char, text_bytes> value{};
	Undo how = Undo::write_value;
	std::atomic<bool> taken{false};
	std::atomic<bool> noted{false};
};

using Journal = std::array<Entry, journal_entries>;

Journal *journal = nullptr; // shared by supervisor and test processes

void copy_text(std::array<char, text_bytes> &to, const std::string &from)
{
	if (from.size() >= to.size())
		throw std::length_error("too long for the journal: " + from);
	std::memcpy(to.data(), from.c_str(), from.size() + 1);
}

// Async-signal-safe.
void undo_entry(Entry &entry) noexcept
{
	if (!entry.noted.exchange(false))
		return;
	if (entry.how == Undo::swap_off) {
		::swapoff(entry.path.data());
		return;
	}
	if (entry.how == Undo::remove_dir) {
		::rmdir(entry.path.data());
		return;
	}
	const int fd = ::open(entry.path.data(), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	[[maybe_unused]] const ssize_t written =
		::write(fd, entry.value.data(), std::strlen(entry.value.data()));
	::close(fd);
}

int note(Undo how, const std::string &path, const std::string &value)
{
	if (journal == nullptr)
		throw std::logic_error("SettingJournal::create() was not called");
	for (std::size_t i = 0; i < journal->size(); i++) {
		Entry &entry = journal->at(i);
		if (entry.taken.exchange(true))
			continue;
		entry.how = how;
		copy_text(entry.path, path);
		copy_text(entry.value, value);
		entry.noted = true;
		return static_cast<int>(i);
	}
	throw std::length_error("too many settings changed at once");
}

} // namespace

void SettingJournal::create()
{
	void *memory = ::mmap(nullptr, sizeof(Journal), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		throw_errno("mmap: journal of changed settings");
	journal = new (memory) Journal();
}

int SettingJournal::restore() noexcept
{
	int restored = 0;
	if (journal == nullptr)
		return 0;
	// NOLINTNEXTLINE(modernize-loop-convert): std::views::reverse is more than some clangs take
	for (auto entry = journal->rbegin(); entry != journal->rend(); ++entry) {
		restored += entry->noted ? 1 : 0;
		undo_entry(*entry);
		entry->taken = false;
	}
	return restored;
}

int SettingJournal::note_write(const std::string &path, const std::string &value)
{
	return note(Undo::write_value, path, value);
}

int SettingJournal::note_swapoff(const std::string &device)
{
	return note(Undo::swap_off, device, "");
}

int SettingJournal::note_rmdir(const std::string &path)
{
	return note(Undo::remove_dir, path, "");
}

void SettingJournal::undo(int number) noexcept
{
	if (journal == nullptr || number < 0)
		return;
	undo_entry((*journal)[static_cast<std::size_t>(number)]);
	forget(number);
}

void SettingJournal::forget(int number) noexcept
{
	if (journal == nullptr || number < 0)
		return;
	(*journal)[static_cast<std::size_t>(number)].noted = false;
	(*journal)[static_cast<std::size_t>(number)].taken = false;
}

SettingGuard::SettingGuard(const std::string &path, const std::string &value)
	: path_(path), original_(selected_value(first_line(path))),
	  slot_(SettingJournal::note_write(path, original_))
{
	if (const int error = write_text(path, value); error != 0) {
		SettingJournal::forget(slot_);
		throw Skip("cannot write '" + value + "' to " + path + ": " + std::strerror(error));
	}
}

SettingGuard::~SettingGuard()
{
	SettingJournal::undo(slot_);
}

void SettingGuard::set(const std::string &value)
{
	if (const int error = write_text(path_, value); error != 0)
		throw Skip("cannot write '" + value + "' to " + path_ + ": " +
			   std::strerror(error));
}

std::string selected_value(const std::string &text)
{
	const auto open = text.find('[');
	const auto close = text.find(']', open == std::string::npos ? 0 : open);
	if (open != std::string::npos && close != std::string::npos)
		return text.substr(open + 1, close - open - 1);
	return text.substr(0, text.find('\n'));
}

std::string first_line(const std::string &path)
{
	std::ifstream file(path);
	std::string line;
	if (!std::getline(file, line))
		throw Skip("cannot read " + path);
	return line;
}

int write_text(const std::string &path, const std::string &text) noexcept
{
	const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
	if (!file)
		return errno;
	const ssize_t written = ::write(file.get(), text.data(), text.size());
	if (written < 0)
		return errno;
	return static_cast<std::size_t>(written) == text.size() ? 0 : EIO;
}

} // namespace pvl
