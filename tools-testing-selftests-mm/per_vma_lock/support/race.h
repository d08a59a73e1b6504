// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "support/random.h"

namespace pvl
{

/// Steps that threads repeat beside each other for a bounded time.
///
/// The time is 400 ms, scaled by --scale. The seed is printed; each thread's choices depend on the
/// seed and on the thread's number alone. GoogleTest expectations may be used in the steps; an
/// exception ends the race and fails the test.
class Race
{
    public:
	using Step = std::function<void(Random &)>;

	/// One more thread, which calls @p step again and again.
	void add(Step step);

	/// Starts all threads at once and waits until the time is over and all have ended.
	void run();

	/// Like run(), but every thread calls its step exactly @p times times.
	void run_times(std::uint64_t times);

    private:
	void run_until(const std::function<bool(std::uint64_t)> &enough);

	std::vector<Step> steps_;
};

} // namespace pvl
