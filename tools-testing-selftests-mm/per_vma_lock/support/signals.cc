// SPDX-License-Identifier: GPL-2.0
#include "support/signals.h"

#include <cstdint>
#include <mutex>
#include <vector>

#include "support/error.h"
#include "support/mapping.h"

namespace pvl
{

bool Caught::in_page_of(const void *byte) const
{
	const auto page = [](const void *place) {
		return reinterpret_cast<std::uintptr_t>(place) / page_bytes();
	};
	return page(address) == page(byte);
}

} // namespace pvl

namespace pvl::detail
{

namespace
{

constexpr std::size_t stack_bytes = std::size_t{64} << 10;

/// A thread's landing; its signal stack was written to once, so that delivering a signal does not
/// fault inside a measured window.
struct ThreadLanding : Landing {
	std::vector<char> stack = std::vector<char>(stack_bytes, 1);

	ThreadLanding()
	{
		stack_t alternative{};
		alternative.ss_sp = stack.data();
		alternative.ss_size = stack.size();
		checked(::sigaltstack(&alternative, nullptr), "sigaltstack");
	}
	ThreadLanding(const ThreadLanding &) = delete;
	ThreadLanding &operator=(const ThreadLanding &) = delete;
	~ThreadLanding()
	{
		stack_t none{};
		none.ss_flags = SS_DISABLE;
		::sigaltstack(&none, nullptr);
	}
};

thread_local Landing *current = nullptr;

void land(int number, siginfo_t *info, void * /*context*/)
{
	if (current == nullptr || !current->armed) {
		std::signal(number, SIG_DFL); // not ours: let the fault happen again and kill us
		return;
	}
	current->caught = {number, info->si_code, info->si_addr};
	siglongjmp(current->place, 1);
}

void install_handlers()
{
	struct sigaction action {
	};
	action.sa_sigaction = land;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	checked(::sigaction(SIGSEGV, &action, nullptr), "sigaction SIGSEGV");
	checked(::sigaction(SIGBUS, &action, nullptr), "sigaction SIGBUS");
}

} // namespace

Landing &landing()
{
	static std::once_flag once;
	std::call_once(once, install_handlers);
	thread_local ThreadLanding mine;
	current = &mine;
	return mine;
}

} // namespace pvl::detail
