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
/// The time is 1 s, scaled by --scale. The seed is printed; each thread's choices depend on the
/// seed and on the thread's number alone. GoogleTest expectations may be used in the steps; the
/// first failure ends the race, as does an exception, which is thrown again.
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

	/// Like run(), but every thread goes on until @p enough, which is told how many steps the
	/// thread has done and may be called by all threads at once.
	void run_until(const std::function<bool(std::uint64_t)> &enough);

    private:
	std::vector<Step> steps_;
};

} // namespace pvl
