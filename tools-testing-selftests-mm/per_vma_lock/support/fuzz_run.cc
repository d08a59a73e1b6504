// SPDX-License-Identifier: GPL-2.0
#include "support/fuzz_run.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <thread>

#include "support/error.h"
#include "support/setting.h"

namespace pvl
{

namespace
{

std::string apply_all(const std::vector<Operation> &operations)
{
	FuzzWorld world;
	for (const Operation &operation : operations)
		if (const auto wrong = world.apply(operation))
			return *wrong;
	return world.check_all().value_or("");
}

/// Three huge pages for every two slots of @p worlds worlds. A third of the slots use one or, for
/// a private copy of a file's, two, and may need another while a forked child of any thread has
/// theirs. Nothing when there are not that many.
std::optional<std::unique_ptr<SettingGuard>> pool_for(std::size_t worlds)
{
	try {
		return free_huge_pages(worlds * FuzzWorld::slot_count * 3 / 2);
	} catch (const Skip &) {
		return std::nullopt;
	}
}

} // namespace

FuzzOutcome fuzz(const FuzzPlan &plan)
{
	using Clock = std::chrono::steady_clock;
	const auto pool = pool_for(plan.threads);
	const auto end = Clock::now() + plan.duration;
	std::atomic<bool> stop{false};
	std::atomic<std::uint64_t> total{0};
	std::mutex lock;
	FuzzOutcome outcome;

	const auto work = [&](unsigned thread) {
		Random random(plan.seed, thread);
		FuzzWorld world(pool.has_value());
		std::vector<Operation> done;
		std::optional<std::string> wrong;

		try {
			while (!stop && !wrong && done.size() < plan.most_operations &&
			       Clock::now() < end) {
				done.push_back(random_operation(random));
				wrong = world.apply(done.back());
			}
			if (!wrong && !stop)
				wrong = world.check_all();
		} catch (const std::exception &error) {
			wrong = error.what();
		}
		total += done.size();
		const std::lock_guard guard(lock);
		for (std::size_t i = 0; i < action_count; i++)
			outcome.tallies.at(i) += world.tallies().at(i);
		if (!wrong)
			return;
		stop = true;
		if (!outcome.failure)
			outcome.failure = FuzzFailure{thread, *wrong, std::move(done)};
	};
	{
		std::vector<std::jthread> threads;
		for (unsigned i = 0; i < plan.threads; i++)
			threads.emplace_back(work, i);
	}
	outcome.operations = total;
	return outcome;
}

std::optional<std::string> replay(const std::vector<Operation> &operations)
{
	std::array<int, 2> ends{};
	checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
	const Fd from_child(ends[0]);
	Fd to_parent(ends[1]);

	const pid_t pid = ::fork();
	if (pid < 0)
		throw_errno("fork");
	if (pid == 0) {
		std::string wrong;
		try {
			wrong = apply_all(operations);
		} catch (const std::exception &error) {
			wrong = error.what();
		}
		const ssize_t told = ::write(to_parent.get(), wrong.data(), wrong.size());
		::_exit(wrong.empty() && told == 0 ? 0 : 1);
	}
	to_parent.reset();
	std::string wrong(512, '\0');
	const ssize_t length = ::read(from_child.get(), wrong.data(), wrong.size());
	wrong.resize(static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
	int status = 0;
	while (::waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	SettingJournal::restore();
	if (status == 0)
		return std::nullopt;
	return wrong.empty() ? "the process crashed" : wrong;
}

} // namespace pvl
