// SPDX-License-Identifier: GPL-2.0
#include "support/setting.h"

#include <fcntl.h>
#include <sys/mman.h>
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

struct Entry {
	std::array<char, text_bytes> path{};
	std::array<char, text_bytes> value{};
	std::atomic<bool> taken{false};
	std::atomic<bool> changed{false};
};

using Journal = std::array<Entry, journal_entries>;

Journal *journal = nullptr; // shared by supervisor and test processes

bool copy_text(std::array<char, text_bytes> &to, const std::string &from)
{
	if (from.size() >= to.size())
		return false;
	std::memcpy(to.data(), from.c_str(), from.size() + 1);
	return true;
}

bool write_back(const Entry &entry) noexcept
{
	const int fd = ::open(entry.path.data(), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	const auto length = static_cast<ssize_t>(std::strlen(entry.value.data()));
	const bool written =
		::write(fd, entry.value.data(), static_cast<std::size_t>(length)) == length;
	::close(fd);
	return written;
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
	for (auto entry = journal->rbegin(); entry != journal->rend(); ++entry) {
		if (entry->changed.exchange(false))
			restored += write_back(*entry) ? 1 : 0;
		entry->taken = false;
	}
	return restored;
}

SettingGuard::SettingGuard(const std::string &path, const std::string &value)
	: path_(path), original_(selected_value(first_line(path)))
{
	if (journal == nullptr)
		throw std::logic_error("SettingGuard used before SettingJournal::create()");
	for (std::size_t i = 0; i < journal->size() && slot_ < 0; i++)
		if (!journal->at(i).taken.exchange(true))
			slot_ = static_cast<int>(i);
	if (slot_ < 0)
		throw std::length_error("too many settings changed at once");

	Entry &entry = journal->at(static_cast<std::size_t>(slot_));
	if (!copy_text(entry.path, path) || !copy_text(entry.value, original_)) {
		entry.taken = false;
		throw std::length_error("setting too long for the journal: " + path);
	}
	entry.changed = true;
	if (const int error = write_text(path, value); error != 0) {
		entry.changed = false;
		entry.taken = false;
		throw Skip("cannot write '" + value + "' to " + path + ": " + std::strerror(error));
	}
}

SettingGuard::~SettingGuard()
{
	Entry &entry = journal->at(static_cast<std::size_t>(slot_));
	if (entry.changed.exchange(false))
		write_back(entry);
	entry.taken = false;
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
