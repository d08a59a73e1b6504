// SPDX-License-Identifier: GPL-2.0
#include "support/supervise.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <sstream>

#include "support/error.h"
#include "support/fd.h"
#include "support/runner.h"
#include "support/setting.h"

namespace pvl
{

namespace
{

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t noted_signal = 0;

void note_signal(int number)
{
	noted_signal = number;
}

// The supervisor is gone: put the settings back and end forked children, nobody else will.
void restore_and_exit(int /*number*/)
{
	SettingJournal::restore();
	if (::getpgrp() == ::getpid())
		::kill(0, SIGKILL);
	::_exit(ksft_fail);
}

// A signal that is ignored (by nohup, in a job of the background) stays so.
void handle_unless_ignored(int number, void (*handler)(int))
{
	struct sigaction action {
	};
	::sigaction(number, nullptr, &action);
	if (action.sa_handler == SIG_IGN)
		return;
	action = {};
	action.sa_handler = handler; // no SA_RESTART: poll() has to return
	::sigaction(number, &action, nullptr);
}

[[noreturn]] void run_in_child(const std::function<int()> &body)
{
	::prctl(PR_SET_PDEATHSIG, SIGTERM);
	::setpgid(0, 0);
	std::signal(SIGTERM, restore_and_exit);
	for (const int number : {SIGINT, SIGQUIT, SIGPIPE})
		handle_unless_ignored(number, SIG_DFL);
	int status = ksft_fail;
	try {
		status = body();
	} catch (const std::exception &error) {
		std::cout << "# " << error.what() << '\n';
	}
	std::cout.flush();
	::_exit(status);
}

// Waits until the process behind pidfd ends; false when the time is over or a signal stops the run.
bool ended_in_time(const Fd &pidfd, Clock::time_point deadline)
{
	// A signal that comes just before poll() is seen after this.
	constexpr Clock::duration longest = std::chrono::seconds(1);

	while (noted_signal == 0) {
		const auto left =
			std::clamp(deadline - Clock::now(), Clock::duration::zero(), longest);
		pollfd wait{pidfd.get(), POLLIN, 0};
		const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
		const int ready = ::poll(&wait, 1, static_cast<int>(ms));
		if (ready > 0)
			return true;
		if (ready < 0 && errno != EINTR)
			throw_errno("poll");
		if (ready == 0 && Clock::now() >= deadline)
			return false;
	}
	return false;
}

} // namespace

void install_stop_signals()
{
	for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE})
		handle_unless_ignored(number, note_signal);
}

int stop_signal() noexcept
{
	return noted_signal;
}

Ending supervise(const std::function<int()> &body, std::optional<std::chrono::seconds> limit)
{
	std::cout.flush();
	const auto deadline = limit ? Clock::now() + *limit : Clock::time_point::max();
	const pid_t pid = checked(::fork(), "fork");
	if (pid == 0)
		run_in_child(body);
	::setpgid(pid, pid);

	const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
	const bool ended = pidfd && ended_in_time(pidfd, deadline);
	::kill(-pid, SIGKILL); // whatever it left running, or the child itself
	Ending ending;
	while (::waitpid(pid, &ending.status, 0) < 0 && errno == EINTR)
		;
	ending.restored = SettingJournal::restore();
	if (!pidfd)
		throw Skip("no pidfd_open(2) on this kernel");
	if (!ended)
		ending.how = noted_signal != 0 ? Ending::How::stopped : Ending::How::too_late;
	return ending;
}

std::string crash_text(int status)
{
	std::ostringstream text;
	if (WIFSIGNALED(status))
		text << "crashed: signal " << WTERMSIG(status) << " ("
		     << ::strsignal(WTERMSIG(status)) << ')';
	else
		text << "ended early with exit status " << WEXITSTATUS(status);
	return text.str();
}

} // namespace pvl
