// SPDX-License-Identifier: GPL-2.0
#include "support/setting.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <vector>

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
	std::uint64_t order = 0; ///< a newer entry has a higher one
	std::atomic<bool> taken{false};
	std::atomic<bool> noted{false};
};

struct Journal {
	std::array<Entry, journal_entries> entries;
	std::atomic<std::uint64_t> notes{0};
};

Journal *journal = nullptr; // shared by supervisor and test processes

// A cgroup is busy until the last of its members has ended. Async-signal-safe.
void remove_dir(const char *path) noexcept
{
	constexpr int most_tries = 200;
	constexpr timespec pause{0, 10'000'000};

	for (int tries = 0; ::rmdir(path) != 0 && errno == EBUSY && tries < most_tries; tries++) {
		const Fd dir(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
		const Fd kill(::openat(dir.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));
		[[maybe_unused]] const ssize_t written = ::write(kill.get(), "1", 1);
		::nanosleep(&pause, nullptr);
	}
}

void write_value(const Entry &entry) noexcept
{
	const Fd file(::open(entry.path.data(), O_WRONLY | O_CLOEXEC));
	[[maybe_unused]] const ssize_t written =
		::write(file.get(), entry.value.data(), std::strlen(entry.value.data()));
}

// Undoes it, then forgets it: a process that dies in between leaves it to another.
// Async-signal-safe.
void undo_entry(Entry &entry) noexcept
{
	if (!entry.noted)
		return;
	switch (entry.how) {
	case Undo::write_value:
		write_value(entry);
		break;
	case Undo::swap_off:
		::swapoff(entry.path.data());
		break;
	case Undo::remove_dir:
		remove_dir(entry.path.data());
		break;
	}
	entry.noted = false;
}

int note(Undo how, const std::string &path, const std::string &value)
{
	if (journal == nullptr)
		throw std::logic_error("SettingJournal::create() was not called");
	if (path.size() >= text_bytes || value.size() >= text_bytes)
		throw std::length_error("too long for the journal: " + path);
	for (std::size_t i = 0; i < journal->entries.size(); i++) {
		Entry &entry = journal->entries.at(i);
		if (entry.taken.exchange(true))
			continue;
		entry.how = how;
		std::memcpy(entry.path.data(), path.c_str(), path.size() + 1);
		std::memcpy(entry.value.data(), value.c_str(), value.size() + 1);
		entry.order = journal->notes++;
		entry.noted = true;
		return static_cast<int>(i);
	}
	throw std::length_error("too many settings changed at once");
}

// The entry noted last, or null. Async-signal-safe.
Entry *newest_entry() noexcept
{
	Entry *newest = nullptr;
	for (Entry &entry : journal->entries)
		if (entry.noted && (newest == nullptr || entry.order > newest->order))
			newest = &entry;
	return newest;
}

/// A setting that guards of this process hold changed.
struct Held {
	std::string original;
	int slot = -1;
	std::vector<const SettingGuard *> guards; // oldest first
};

std::mutex held_lock;

std::map<std::string, Held> &held_settings()
{
	static std::map<std::string, Held> settings;
	return settings;
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
	for (; Entry *entry = newest_entry(); restored++)
		undo_entry(*entry);
	for (Entry &entry : journal->entries)
		entry.taken = false;
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
	undo_entry(journal->entries[static_cast<std::size_t>(number)]);
	forget(number);
}

void SettingJournal::forget(int number) noexcept
{
	if (journal == nullptr || number < 0)
		return;
	Entry &entry = journal->entries[static_cast<std::size_t>(number)];
	entry.noted = false;
	entry.taken = false;
}

SettingGuard::SettingGuard(const std::string &path, const std::string &value)
	: path_(path), value_(value)
{
	const std::lock_guard lock(held_lock);
	auto &all = held_settings();
	auto found = all.find(path);

	if (found == all.end()) {
		Held fresh{selected_value(first_line(path)), -1, {}};
		fresh.slot = SettingJournal::note_write(path, fresh.original);
		found = all.emplace(path, std::move(fresh)).first;
	}
	Held &held = found->second;
	if (const int error = write_text(path, value); error != 0) {
		if (held.guards.empty()) {
			SettingJournal::forget(held.slot);
			all.erase(found);
		}
		throw Skip("cannot write '" + value + "' to " + path + ": " + std::strerror(error));
	}
	original_ = held.original;
	held.guards.push_back(this);
}

SettingGuard::~SettingGuard()
{
	const std::lock_guard lock(held_lock);
	auto &all = held_settings();
	const auto found = all.find(path_);
	auto &guards = found->second.guards;

	guards.erase(std::find(guards.begin(), guards.end(), this));
	if (!guards.empty()) {
		write_text(path_, guards.back()->value_);
		return;
	}
	SettingJournal::undo(found->second.slot);
	all.erase(found);
}

void SettingGuard::set(const std::string &value)
{
	const std::lock_guard lock(held_lock);
	if (const int error = write_text(path_, value); error != 0)
		throw Skip("cannot write '" + value + "' to " + path_ + ": " +
			   std::strerror(error));
	value_ = value;
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
