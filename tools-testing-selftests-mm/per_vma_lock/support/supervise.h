// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace pvl
{

/// How a supervised process ended.
struct Ending {
	enum class How {
		by_itself, ///< it returned, exited or crashed
		too_late,  ///< killed when its time was over
		stopped,   ///< killed because of stop_signal()
	};
	How how = How::by_itself;
	int status = 0;	  ///< as waitpid(2) gives it
	int restored = 0; ///< settings that it had left changed
};

/// From now on SIGINT, SIGTERM and SIGHUP, but for those that are ignored, end what supervise()
/// runs instead of the caller.
void install_stop_signals();

/// The last of these signals; 0: none yet.
int stop_signal() noexcept;

/// Runs @p body in a forked child and returns when that has ended, by itself or killed, with all
/// its children; settings that it left changed are put back (see SettingJournal). That all happens
/// too when the caller is killed. The child's exit status is what @p body returns, ksft_fail after
/// an exception. Throws Skip without pidfd_open(2), std::system_error when fork(2) fails.
Ending supervise(const std::function<int()> &body,
		 std::optional<std::chrono::seconds> limit = std::nullopt);

/// "crashed: signal 11 (Segmentation fault)" or "ended early with exit status 0".
std::string crash_text(int status);

} // namespace pvl
