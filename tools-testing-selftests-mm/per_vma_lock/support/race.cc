// SPDX-License-Identifier: GPL-2.0
#include "support/race.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <exception>
#include <iostream>
#include <thread>

#include "support/error.h"
#include "support/session.h"

namespace pvl
{

namespace
{

constexpr std::uint64_t race_ms = 1000;

/// Sets a flag at the first failure of any thread while it lives.
class FailureFlag : public testing::EmptyTestEventListener
{
    public:
	explicit FailureFlag(std::atomic<bool> &flag) : flag_(flag)
	{
		testing::UnitTest::GetInstance()->listeners().Append(this);
	}
	FailureFlag(const FailureFlag &) = delete;
	FailureFlag &operator=(const FailureFlag &) = delete;
	~FailureFlag() override
	{
		testing::UnitTest::GetInstance()->listeners().Release(this);
	}

	void OnTestPartResult(const testing::TestPartResult &result) override
	{
		if (result.failed())
			flag_ = true;
	}

    private:
	std::atomic<bool> &flag_;
};

} // namespace

void Race::add(Step step)
{
	steps_.push_back(std::move(step));
}

void Race::run()
{
	using Clock = std::chrono::steady_clock;
	const auto end = Clock::now() + std::chrono::milliseconds(session().scaled(race_ms));
	run_until([=](std::uint64_t done) { return done != 0 && Clock::now() >= end; });
}

void Race::run_times(std::uint64_t times)
{
	run_until([=](std::uint64_t done) { return done >= times; });
}

void Race::run_until(const std::function<bool(std::uint64_t)> &enough)
{
	std::cout << "# race: --seed=" << session().seed << std::endl;
	std::barrier start(static_cast<std::ptrdiff_t>(steps_.size()));
	std::atomic<bool> stop{false};
	const FailureFlag stop_at_failure(stop);
	std::vector<std::exception_ptr> thrown(steps_.size());
	{
		std::vector<std::jthread> threads;
		for (std::size_t i = 0; i < steps_.size(); i++) {
			threads.emplace_back([&, i] {
				Random random(session().seed, i);
				start.arrive_and_wait();
				try {
					for (std::uint64_t done = 0; !stop && !enough(done); done++)
						steps_[i](random);
				} catch (...) {
					thrown[i] = std::current_exception();
					stop = true;
				}
			});
		}
	}
	for (const std::exception_ptr &error : thrown)
		if (error)
			std::rethrow_exception(error);
}

} // namespace pvl
