// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <string>

namespace pvl
{

/// The journal of what tests have changed outside their own process and not yet put back.
///
/// It lies in memory shared by the supervisor and the test process, so that the supervisor can
/// restore what a crashed test left behind.
class SettingJournal
{
    public:
	/// Creates the shared journal; call once, in the supervisor, before any test is started.
	/// Throws std::system_error when no memory can be shared.
	static void create();

	/// Undoes everything that is still noted, newest first. Async-signal-safe. Returns how
	/// many entries there were.
	static int restore() noexcept;

	/// Notes that @p value has to be written to @p path; returns the entry's number. Note
	/// first, change then. Throws std::length_error when the journal is full or the text long.
	static int note_write(const std::string &path, const std::string &value);

	/// Notes that swapping to @p device has to be switched off; returns the entry's number.
	static int note_swapoff(const std::string &device);

	/// Notes that the empty directory @p path has to be removed; returns the entry's number.
	static int note_rmdir(const std::string &path);

	/// Undoes one entry now and forgets it; a number that is not noted is ignored.
	static void undo(int number) noexcept;

	/// Forgets one entry: there is nothing to undo.
	static void forget(int number) noexcept;
};

/// One sysfs or procfs setting changed for the guard's lifetime.
///
/// Guards of one setting may overlap in any order, in any threads: while there are some, the newest
/// one's value holds; the last one restores what the first one found. Settings of the "always
/// [madvise] never" kind are understood: the bracketed word is restored.
class SettingGuard
{
    public:
	/// Remembers the value of @p path and writes @p value. Throws Skip when the file is missing
	/// or this user may not write it.
	SettingGuard(const std::string &path, const std::string &value);

	SettingGuard(const SettingGuard &) = delete;
	SettingGuard &operator=(const SettingGuard &) = delete;
	~SettingGuard();

	/// Writes another value; what is restored stays the same.
	void set(const std::string &value);

	/// The value that the first of the guards found.
	[[nodiscard]] const std::string &original() const noexcept
	{
		return original_;
	}

    private:
	std::string path_;
	std::string value_;
	std::string original_;
};

/// The current value in a settings file's text: the word in brackets where there is one, otherwise
/// the text without its newline.
std::string selected_value(const std::string &text);

/// First line of @p path without the newline. Throws Skip when it cannot be read.
std::string first_line(const std::string &path);

/// Writes @p text to an existing file in one write(2); returns 0 or errno.
int write_text(const std::string &path, const std::string &text) noexcept;

} // namespace pvl
