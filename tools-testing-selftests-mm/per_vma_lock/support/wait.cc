// SPDX-License-Identifier: GPL-2.0
#include "support/wait.h"

#include <thread>

namespace pvl
{

bool holds_within(std::chrono::milliseconds limit, const std::function<bool()> &condition)
{
	using Clock = std::chrono::steady_clock;
	constexpr std::chrono::milliseconds pause(20);
	const auto end = Clock::now() + limit;

	while (!condition()) {
		if (Clock::now() >= end)
			return false;
		std::this_thread::sleep_for(pause);
	}
	return true;
}

} // namespace pvl
