// SPDX-License-Identifier: GPL-2.0
#include <sys/wait.h>

#include <exception>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "support/fuzz_run.h"
#include "support/options.h"
#include "support/runner.h"
#include "support/setting.h"
#include "support/supervise.h"

namespace
{

constexpr const char *usage_text = R"(Usage: per_vma_lock_fuzz [OPTION]...

Random operations on a few dozen memories of every kind, by several threads of one process, compared
with a model of what has to be in them.

  --seed=N         all random choices follow from it (default 1)
  --seconds=S      run for S seconds (default 10)
  --threads=T      this many threads, each with memories of its own (default 4)
  --replay=OPS     carry out these operations instead: what a failing run printed
  --help           print this

A value may also be an argument of its own: --seed N.

The first line printed is the command that repeats the run, also when the kernel crashes. A failure
prints the shortest list of operations found that still fails, as a command to run, unless it needs
the other threads too, or crashes or is stopped. Settings that were changed are put back in any case.

Exit status: 0 nothing was wrong, 1 something was, 2 usage.
)";

constexpr int exit_usage = 2;
constexpr std::uint64_t most_seconds = 86400;
constexpr std::uint64_t most_threads = 256;

struct Options {
	pvl::FuzzPlan plan;
	std::vector<pvl::Operation> replay;
};

Options parse(const std::vector<std::string> &arguments)
{
	Options options;
	options.plan.duration = std::chrono::seconds(10);
	options.plan.threads = 4;
	for (auto next = arguments.begin(); next != arguments.end();) {
		const std::string argument = *next++;
		const auto equals = argument.find('=');
		const std::string name = argument.substr(0, equals);
		std::string value;

		if (equals != std::string::npos)
			value = argument.substr(equals + 1);
		else if (next != arguments.end())
			value = *next++;
		if (name == "--seed")
			options.plan.seed = pvl::parse_number(
				name, value, 0, std::numeric_limits<std::uint64_t>::max());
		else if (name == "--seconds")
			options.plan.duration = std::chrono::seconds(
				pvl::parse_number(name, value, 1, most_seconds));
		else if (name == "--threads")
			options.plan.threads = static_cast<unsigned>(
				pvl::parse_number(name, value, 1, most_threads));
		else if (name == "--replay" && !value.empty())
			options.replay = pvl::parse_operations(value);
		else if (name == "--replay")
			throw pvl::UsageError("--replay: no operations");
		else
			throw pvl::UsageError("unknown option '" + argument + "': try --help");
	}
	return options;
}

int run_replay(const std::vector<pvl::Operation> &operations)
{
	const auto wrong = pvl::replay(operations);
	if (!wrong)
		return pvl::ksft_pass;
	std::cout << "wrong: " << *wrong << '\n';
	return pvl::ksft_fail;
}

void explain(const pvl::FuzzFailure &failure)
{
	std::cout << "wrong: " << failure.what << "\nthread " << failure.thread << ", operation "
		  << failure.operations.size() << std::endl;
	const auto fails = [](const std::vector<pvl::Operation> &operations) {
		return pvl::replay(operations).has_value();
	};
	if (!fails(failure.operations)) {
		std::cout << "not reproduced by this thread alone: run the same again\n";
		return;
	}
	std::cout << "replay: per_vma_lock_fuzz --replay="
		  << pvl::to_text(pvl::minimal(failure.operations, fails)) << '\n';
}

int run_fuzz(const pvl::FuzzPlan &plan)
{
	const pvl::FuzzOutcome outcome = pvl::fuzz(plan);
	std::cout << "seed " << plan.seed << ": " << outcome.operations << " operations by "
		  << plan.threads << " threads\n";
	if (!outcome.failure)
		return pvl::ksft_pass;
	explain(*outcome.failure);
	return pvl::ksft_fail;
}

std::string command(const Options &options)
{
	std::string text = "per_vma_lock_fuzz ";
	if (!options.replay.empty())
		return text + "--replay=" + pvl::to_text(options.replay);
	const auto seconds =
		std::chrono::duration_cast<std::chrono::seconds>(options.plan.duration);
	return text + "--seed=" + std::to_string(options.plan.seed) +
	       " --seconds=" + std::to_string(seconds.count()) +
	       " --threads=" + std::to_string(options.plan.threads);
}

int supervised(const Options &options)
{
	const std::string again = command(options);
	std::cout << "run: " << again << std::endl;
	pvl::SettingJournal::create();
	pvl::install_stop_signals();
	const pvl::Ending ending = pvl::supervise([&] {
		return options.replay.empty() ? run_fuzz(options.plan) : run_replay(options.replay);
	});
	if (ending.how == pvl::Ending::How::by_itself && WIFEXITED(ending.status))
		return WEXITSTATUS(ending.status);
	if (ending.how == pvl::Ending::How::stopped)
		std::cout << "stopped: signal " << pvl::stop_signal();
	else
		std::cout << pvl::crash_text(ending.status);
	std::cout << "\nto repeat: " << again << '\n';
	return pvl::ksft_fail;
}

} // namespace

int main(int argc, char **argv)
{
	const std::vector<std::string> arguments(argv + 1, argv + argc);
	for (const std::string &argument : arguments) {
		if (argument == "--help" || argument == "-h") {
			std::cout << usage_text;
			return pvl::ksft_pass;
		}
	}
	try {
		return supervised(parse(arguments));
	} catch (const pvl::UsageError &error) {
		std::cerr << "per_vma_lock_fuzz: " << error.what() << '\n';
		return exit_usage;
	} catch (const std::invalid_argument &error) {
		std::cerr << "per_vma_lock_fuzz: --replay: " << error.what() << '\n';
		return exit_usage;
	} catch (const std::exception &error) {
		std::cerr << "per_vma_lock_fuzz: " << error.what() << '\n';
		return pvl::ksft_fail;
	}
}
