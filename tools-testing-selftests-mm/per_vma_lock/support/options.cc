// SPDX-License-Identifier: GPL-2.0
#include "support/options.h"

#include <charconv>
#include <cstdlib>
#include <limits>

namespace pvl
{

namespace
{

constexpr std::uint64_t most_percent = 10000;
constexpr std::uint64_t most_seconds = 86400;

Expect parse_expect(const std::string &word)
{
	if (word == "auto")
		return Expect::automatic;
	if (word == "patched")
		return Expect::patched;
	if (word == "mainline")
		return Expect::mainline;
	throw UsageError("--expect=" + word + ": must be patched, mainline or auto");
}

unsigned parse_scale(const std::string &source, const std::string &text)
{
	return static_cast<unsigned>(parse_number(source, text, 1, most_percent));
}

} // namespace

std::uint64_t parse_number(const std::string &option, const std::string &text, std::uint64_t lowest,
			   std::uint64_t highest)
{
	std::uint64_t number = 0;
	const char *end = text.data() + text.size();
	const auto [stop, error] = std::from_chars(text.data(), end, number);
	if (text.empty() || error != std::errc() || stop != end || number < lowest ||
	    number > highest)
		throw UsageError(option + "=" + text + ": must be a whole number from " +
				 std::to_string(lowest) + " to " + std::to_string(highest));
	return number;
}

Command parse_options(const std::vector<std::string> &arguments, Session &session)
{
	Command command = Command::run;

	if (const char *scale = std::getenv("PER_VMA_LOCK_SCALE"); scale != nullptr)
		session.scale_percent = parse_scale("PER_VMA_LOCK_SCALE", scale);
	for (const std::string &argument : arguments) {
		const auto equals = argument.find('=');
		const std::string name = argument.substr(0, equals);
		const bool has_value = equals != std::string::npos;
		const std::string value = has_value ? argument.substr(equals + 1) : "";

		if (argument == "--help" || argument == "-h")
			return Command::help;
		if (argument == "--list")
			command = Command::list;
		else if (name == "--expect" && has_value)
			session.expect = parse_expect(value);
		else if (name == "--scale" && has_value)
			session.scale_percent = parse_scale(name, value);
		else if (name == "--seed" && has_value)
			session.seed = parse_number(name, value, 0,
						    std::numeric_limits<std::uint64_t>::max());
		else if (name == "--test-timeout" && has_value)
			session.test_timeout =
				std::chrono::seconds(parse_number(name, value, 1, most_seconds));
		else if (name == "--disk" && has_value)
			session.disk_dir = value;
		else
			throw UsageError("unknown option '" + argument + "': try --help");
	}
	return command;
}

} // namespace pvl
