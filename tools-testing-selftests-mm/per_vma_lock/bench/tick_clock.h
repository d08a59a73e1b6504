// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "instruction_clock.h"

namespace pvl
{

/// Nanoseconds from the time stamp counter, which is far cheaper to read under QEMU's TCG than any
/// clock of the kernel. Calibrated against CLOCK_MONOTONIC over the time since construction.
class TickClock
{
    public:
	/// How many nanoseconds a tick has lasted since construction.
	[[nodiscard]] double nanoseconds_per_tick() const
	{
		const std::chrono::duration<double, std::nano> passed =
			std::chrono::steady_clock::now() - start_;
		return passed.count() / static_cast<double>(ticks_now() - start_ticks_);
	}

    private:
	std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
	std::uint64_t start_ticks_ = ticks_now();
};

} // namespace pvl
