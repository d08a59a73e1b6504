// SPDX-License-Identifier: GPL-2.0
#include <exception>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "support/fuzz_run.h"
#include "support/options.h"
#include "support/runner.h"
#include "support/setting.h"

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

A failure prints the seed and the shortest list of operations found that still fails, as a command
to run. Where the failure needs the other threads too, only the seed is printed.

Exit status: 0 nothing was wrong, 1 something was, 2 usage.
)";

constexpr int exit_usage = 2;
constexpr std::uint64_t most_seconds = 86400;
constexpr std::uint64_t most_threads = 256;

struct Options {
	pvl::FuzzPlan plan;
	std::string replay;
};

Options parse(const std::vector<std::string> &arguments)
{
	Options options;
	options.plan.duration = std::chrono::seconds(10);
	options.plan.threads = 4;
	for (const std::string &argument : arguments) {
		const auto equals = argument.find('=');
		const std::string name = argument.substr(0, equals);
		const std::string value =
			equals == std::string::npos ? "" : argument.substr(equals + 1);

		if (name == "--seed")
			options.plan.seed = pvl::parse_number(
				name, value, 0, std::numeric_limits<std::uint64_t>::max());
		else if (name == "--seconds")
			options.plan.duration = std::chrono::seconds(
				pvl::parse_number(name, value, 1, most_seconds));
		else if (name == "--threads")
			options.plan.threads = static_cast<unsigned>(
				pvl::parse_number(name, value, 1, most_threads));
		else if (name == "--replay")
			options.replay = value;
		else
			throw pvl::UsageError("unknown option '" + argument + "': try --help");
	}
	return options;
}

int replay(const std::string &text)
{
	const auto wrong = pvl::replay(pvl::parse_operations(text));
	if (!wrong)
		return pvl::ksft_pass;
	std::cout << "wrong: " << *wrong << '\n';
	return pvl::ksft_fail;
}

void explain(const pvl::FuzzPlan &plan, const pvl::FuzzFailure &failure)
{
	std::cout << "wrong: " << failure.what << "\nthread " << failure.thread << ", operation "
		  << failure.operations.size() << ", --seed=" << plan.seed
		  << " --threads=" << plan.threads << std::endl;
	const auto fails = [](const std::vector<pvl::Operation> &operations) {
		return pvl::replay(operations).has_value();
	};
	if (!fails(failure.operations)) {
		std::cout << "not reproduced by this thread alone: run the seed again\n";
		return;
	}
	std::cout << "replay: per_vma_lock_fuzz --replay="
		  << pvl::to_text(pvl::minimal(failure.operations, fails)) << '\n';
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
		const Options options = parse(arguments);
		pvl::SettingJournal::create();
		if (!options.replay.empty())
			return replay(options.replay);
		const pvl::FuzzOutcome outcome = pvl::fuzz(options.plan);
		std::cout << "seed " << options.plan.seed << ": " << outcome.operations
			  << " operations by " << options.plan.threads << " threads\n";
		if (!outcome.failure)
			return pvl::ksft_pass;
		explain(options.plan, *outcome.failure);
	} catch (const pvl::UsageError &error) {
		std::cerr << "per_vma_lock_fuzz: " << error.what() << '\n';
		return exit_usage;
	} catch (const std::invalid_argument &error) {
		std::cerr << "per_vma_lock_fuzz: --replay: " << error.what() << '\n';
		return exit_usage;
	} catch (const std::exception &error) {
		std::cerr << "per_vma_lock_fuzz: " << error.what() << '\n';
	}
	return pvl::ksft_fail;
}
