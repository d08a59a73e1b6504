// SPDX-License-Identifier: GPL-2.0
//
// Faults under load, as JSON lines on stdout.
#include <charconv>
#include <cstdint>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string_view>

#include "contention.h"
#include "json.h"
#include "support/error.h"
#include "workloads.h"

namespace pvl
{

namespace
{

constexpr std::string_view usage = R"(usage: fault_load contention|workloads [--milliseconds N]

contention: every kind of fault in fresh VMAs, beside a thread that keeps taking
mmap_lock for write. workloads: known patterns, with one thread and with two.

  --milliseconds N  how long each is measured (default 1000)

Prints one JSON object a line. exit status: 0 measured, 1 something failed, 2 wrong usage
)";

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr unsigned int faulting_threads = 1; // with the writer: one a virtual CPU

class UsageError : public std::runtime_error
{
    public:
	using std::runtime_error::runtime_error;
};

struct Options {
	std::string part;
	std::chrono::milliseconds duration{1000};
};

Options options_from(std::span<char *const> arguments)
{
	Options options;

	for (std::size_t index = 1; index < arguments.size(); index++) {
		const std::string_view word = arguments[index];
		if (word == "contention" || word == "workloads") {
			options.part = word;
		} else if (word == "--milliseconds" && index + 1 < arguments.size()) {
			const std::string_view text = arguments[++index];
			unsigned int number = 0;
			const auto [end, problem] =
				std::from_chars(text.data(), text.data() + text.size(), number);
			if (problem != std::errc() || end != text.data() + text.size() ||
			    number == 0)
				throw UsageError("--milliseconds needs a number above 0, not '" +
						 std::string(text) + "'");
			options.duration = std::chrono::milliseconds(number);
		} else {
			throw UsageError("unknown word '" + std::string(word) + "'; see --help");
		}
	}
	if (options.part.empty())
		throw UsageError("contention or workloads? see --help");
	return options;
}

template <typename Measure>
bool line_printed(const std::string &name, unsigned int threads, Measure measure)
{
	std::cout << R"({"name":)" << json(name) << R"(,"threads":)" << threads << ',';
	bool good = true;

	try {
		std::cout << measure();
	} catch (const Skip &reason) {
		std::cout << R"("skipped":)" << json(std::string(reason.what()));
	} catch (const std::exception &problem) {
		std::cout << R"("failed":)" << json(std::string(problem.what()));
		good = false;
	}
	std::cout << '}' << std::endl;
	return good;
}

int run(const Options &options)
{
	bool good = true;

	if (options.part == "contention") {
		for (const std::string &kind : contention_kinds())
			good = line_printed(kind, faulting_threads,
					    [&] {
						    return measure_contention(kind,
									      faulting_threads,
									      options.duration);
					    }) &&
			       good;
		return good ? 0 : exit_failed;
	}
	for (const std::string &name : workload_names())
		for (const unsigned int threads : {1U, 2U, 4U, 8U})
			good = line_printed(name, threads,
					    [&] {
						    return measure_workload(name, threads,
									    options.duration);
					    }) &&
			       good;
	return good ? 0 : exit_failed;
}

} // namespace

} // namespace pvl

int main(int argc, char **argv)
{
	using namespace pvl;

	try {
		const std::span arguments(argv, static_cast<std::size_t>(argc));
		if (argc == 2 && std::string_view(arguments[1]) == "--help") {
			std::cout << usage;
			return 0;
		}
		return run(options_from(arguments));
	} catch (const UsageError &problem) {
		std::cerr << "fault_load: " << problem.what() << '\n';
		return exit_usage;
	} catch (const std::exception &problem) {
		std::cerr << "fault_load: " << problem.what() << '\n';
		return exit_failed;
	}
}
