// SPDX-License-Identifier: GPL-2.0
//
// Instructions and events of every kind of page fault, as JSON lines on stdout.
#include <fnmatch.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <iostream>
#include <map>
#include <span>
#include <sstream>
#include <string_view>

#include "ballast.h"
#include "bench_case.h"
#include "json.h"
#include "support/error.h"
#include "support/setting.h"

namespace pvl
{

namespace
{

constexpr std::string_view usage =
	R"(usage: fault_cost [--samples N] [--heavy-samples N] [--event-samples N] [--case PATTERN]...
                  [--vmas N] [--threads N]
       fault_cost --list

Prints, as one JSON object a line, what each kind of page fault costs: instructions
from user access to user access, and the events counted during the fault. Has to
run where one tick of the time stamp counter is one instruction: in a guest of
QEMU started with -icount shift=0,sleep=off -smp 1.

  --samples N        samples of each case (default 300)
  --heavy-samples N  samples of cases that clear or copy a huge page (default 300)
  --event-samples N  samples in which events are counted (default 5, 0: none)
  --case PATTERN     only the cases whose name matches the shell pattern
  --vmas N           with N more VMAs in the process (default 0)
  --threads N        with N threads in the process, N - 1 of them asleep (default 1)
  --list             names and descriptions of all cases

exit status: 0 measured, 1 a case failed, 2 wrong usage, 4 the clock does not count
instructions
)";

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_cannot_run = 4;

struct Options {
	unsigned int samples = 300;
	unsigned int heavy_samples = 300;
	unsigned int event_samples = 5;
	unsigned int vmas = 0;
	unsigned int threads = 1;
	std::vector<std::string> patterns;
	bool list = false;
	bool help = false;
};

class UsageError : public std::runtime_error
{
    public:
	using std::runtime_error::runtime_error;
};

unsigned int number_from(std::string_view text, std::string_view option)
{
	unsigned int number = 0;
	const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);

	if (problem != std::errc() || end != text.data() + text.size())
		throw UsageError(std::string(option) + " needs a number, not '" +
				 std::string(text) + "'");
	return number;
}

Options options_from(std::span<char *const> arguments)
{
	Options options;

	for (std::size_t index = 1; index < arguments.size(); index++) {
		const std::string_view option = arguments[index];
		const auto value = [&]() -> std::string_view {
			if (++index == arguments.size())
				throw UsageError(std::string(option) + " needs a value");
			return arguments[index];
		};

		if (option == "--help")
			options.help = true;
		else if (option == "--list")
			options.list = true;
		else if (option == "--samples")
			options.samples = number_from(value(), option);
		else if (option == "--heavy-samples")
			options.heavy_samples = number_from(value(), option);
		else if (option == "--event-samples")
			options.event_samples = number_from(value(), option);
		else if (option == "--vmas")
			options.vmas = number_from(value(), option);
		else if (option == "--threads")
			options.threads = number_from(value(), option);
		else if (option == "--case")
			options.patterns.emplace_back(value());
		else
			throw UsageError("unknown option '" + std::string(option) +
					 "'; see --help");
	}
	if (options.samples == 0 || options.heavy_samples == 0)
		throw UsageError("at least one sample is needed");
	return options;
}

/// Samples as [[value, how often], ...] in rising order.
std::string histogram(const std::vector<Instructions> &sorted)
{
	std::map<Instructions, unsigned int> how_often;
	std::string text;

	for (const Instructions value : sorted)
		how_often[value]++;
	for (const auto &[value, times] : how_often)
		text += (text.empty() ? "[" : ",[") + std::to_string(value) + ',' +
			std::to_string(times) + ']';
	return "[" + text + "]";
}

std::vector<Instructions> sorted_samples(const Case &measured, const ProbeOverhead &overhead,
					 const Options &options)
{
	constexpr unsigned int light_warm_up = 16;
	constexpr unsigned int heavy_warm_up = 3;
	const bool heavy = measured.weight == Weight::heavy;
	const unsigned int count = heavy ? options.heavy_samples : options.samples;
	const Sample sample = measured.prepare();
	InstructionMeter warm_up(overhead, false);
	InstructionMeter meter(overhead, heavy);
	std::vector<Instructions> samples;

	for (unsigned int i = 0; i < (heavy ? heavy_warm_up : light_warm_up); i++)
		sample(warm_up);
	samples.reserve(count);
	while (samples.size() < count) {
		sample(meter);
		samples.push_back(meter.take());
	}
	std::sort(samples.begin(), samples.end());
	return samples;
}

/// The events of a fault as a JSON object: the median over the samples of each.
std::string events_of(const Case &measured, const ProbeOverhead &overhead, unsigned int count)
{
	const Sample sample = measured.prepare();
	EventMeter meter(overhead);
	std::vector<EventCounts> samples;
	std::string text;

	sample(meter);
	meter.take();
	while (samples.size() < count) {
		sample(meter);
		samples.push_back(meter.take());
	}
	for (std::size_t event = 0; event < FaultEvents::names().size(); event++) {
		std::sort(samples.begin(), samples.end(), [&](const auto &left, const auto &right) {
			return left.at(event) < right.at(event);
		});
		text += (event == 0 ? "" : ",") + json(FaultEvents::names()[event]) + ':' +
			json(samples[samples.size() / 2].at(event));
	}
	return "{" + text + "}";
}

/// Prints a line about @p known, its rest by @p measure; false when that failed.
template <typename Measure>
bool line_printed(const std::string &record, const Case &known, Measure measure)
{
	std::cout << R"({"record":)" << json(record) << R"(,"name":)" << json(known.name);
	bool good = true;

	try {
		measure();
	} catch (const Skip &reason) {
		std::cout << R"(,"skipped":)" << json(reason.what());
	} catch (const std::exception &problem) {
		std::cout << R"(,"failed":)" << json(problem.what());
		good = false;
	}
	std::cout << '}' << std::endl;
	return good;
}

bool cost_printed(const Case &known, const ProbeOverhead &overhead, const Options &options)
{
	return line_printed("cost", known, [&] {
		constexpr std::size_t percent = 100;
		constexpr std::size_t high_percentile = 99;

		std::cout << R"(,"description":)" << json(known.description);
		const auto samples = sorted_samples(known, overhead, options);
		std::cout << R"(,"samples":)" << samples.size() << R"(,"min":)" << samples.front()
			  << R"(,"median":)" << samples[samples.size() / 2] << R"(,"p99":)"
			  << samples[(samples.size() - 1) * high_percentile / percent]
			  << R"(,"histogram":)" << histogram(samples);
	});
}

bool events_printed(const Case &known, const ProbeOverhead &overhead, const Options &options)
{
	return line_printed("events", known, [&] {
		const std::string events = events_of(known, overhead, options.event_samples);

		std::cout << R"(,"events":)" << events;
	});
}

bool matches_any(const std::string &name, const std::vector<std::string> &patterns)
{
	return std::any_of(patterns.begin(), patterns.end(), [&](const std::string &pattern) {
		return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
	});
}

std::vector<Case> chosen_cases(const std::vector<std::string> &patterns)
{
	std::vector<Case> cases = fault_cases();

	for (const std::string &pattern : patterns)
		if (std::none_of(cases.begin(), cases.end(), [&](const Case &known) {
			    return matches_any(known.name, {pattern});
		    }))
			throw UsageError("unknown case '" + pattern + "'; --list names them all");
	if (!patterns.empty())
		std::erase_if(cases, [&](const Case &known) {
			return !matches_any(known.name, patterns);
		});
	return cases;
}

void print_run(const ProbeOverhead &overhead)
{
	utsname kernel{};
	std::string missing;

	::uname(&kernel);
	const FaultEvents events;
	for (const auto &[event, reason] : events.missing())
		missing += (missing.empty() ? "" : ",") + json(event) + ':' + json(reason);
	std::cout << R"({"record":"run","kernel":)" << json(std::string(kernel.release))
		  << R"(,"probe_overhead":{"read":)" << overhead.read << R"(,"write":)"
		  << overhead.write << R"(,"call":)" << overhead.call << R"(},"missing_events":{)"
		  << missing << "}}" << std::endl;
}

int run(const Options &options)
{
	const std::vector<Case> cases = chosen_cases(options.patterns);

	if (options.list) {
		for (const Case &known : cases)
			std::cout << known.name << '\t' << known.description << '\n';
		return 0;
	}

	const ClockCheck clock = check_instruction_clock();
	if (!clock.counts_instructions) {
		std::cerr << "fault_cost: the clock does not count instructions: " << clock.reason
			  << "; start QEMU with -icount shift=0,sleep=off -smp 1\n";
		return exit_cannot_run;
	}

	SettingJournal::create();
	const std::vector<FixedMapping> keepers = page_table_keepers();
	const Ballast ballast(options.vmas, options.threads);
	bool good = true;
	for (const Case &known : cases)
		good = cost_printed(known, clock.overhead, options) && good;

	// Afterwards: a tracepoint or kprobe that was ever on may change what faults cost.
	print_run(clock.overhead);
	if (options.event_samples != 0)
		for (const Case &known : cases)
			good = events_printed(known, clock.overhead, options) && good;
	return good ? 0 : exit_failed;
}

} // namespace

} // namespace pvl

int main(int argc, char **argv)
{
	using namespace pvl;

	try {
		const Options options =
			options_from(std::span(argv, static_cast<std::size_t>(argc)));
		if (options.help) {
			std::cout << usage;
			return 0;
		}
		return run(options);
	} catch (const UsageError &problem) {
		std::cerr << "fault_cost: " << problem.what() << '\n';
		return exit_usage;
	} catch (const std::exception &problem) {
		std::cerr << "fault_cost: " << problem.what() << '\n';
		return exit_failed;
	}
}
