// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <string>

namespace pvl
{

/// The journal of kernel settings that tests have changed and not yet put back.
///
/// It lies in memory shared by the supervisor and the test process, so that the supervisor can
/// restore what a crashed test left behind.
class SettingJournal
{
    public:
	/// Creates the shared journal; call once, in the supervisor, before any test is started.
	/// Throws std::system_error when no memory can be shared.
	static void create();

	/// Writes back every setting that is still changed, newest first. Async-signal-safe.
	/// Returns how many it wrote back.
	static int restore() noexcept;
};

/// One sysfs or procfs setting changed for the guard's lifetime.
///
/// Settings of the "always [madvise] never" kind are understood: the bracketed word is restored.
class SettingGuard
{
    public:
	/// Remembers the value of @p path and writes @p value. Throws Skip when the file is missing
	/// or this user may not write it.
	SettingGuard(const std::string &path, const std::string &value);

	SettingGuard(const SettingGuard &) = delete;
	SettingGuard &operator=(const SettingGuard &) = delete;
	~SettingGuard();

	/// Writes another value; the one found by the constructor is still the one restored.
	void set(const std::string &value);

	/// The value found by the constructor.
	[[nodiscard]] const std::string &original() const noexcept
	{
		return original_;
	}

    private:
	std::string path_;
	std::string original_;
	int slot_ = -1;
};

/// The current value in a settings file's text: the word in brackets where there is one, otherwise
/// the text without its newline.
std::string selected_value(const std::string &text);

/// First line of @p path without the newline. Throws Skip when it cannot be read.
std::string first_line(const std::string &path);

/// Writes @p text to an existing file in one write(2); returns 0 or errno.
int write_text(const std::string &path, const std::string &text) noexcept;

} // namespace pvl
