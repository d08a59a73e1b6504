// SPDX-License-Identifier: GPL-2.0
#include "support/runner.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <vector>

#include "support/error.h"
#include "support/event_counter.h"
#include "support/fd.h"
#include "support/mapping.h"
#include "support/memory.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/supervise.h"

namespace pvl
{

namespace
{

/// What the test process tells the supervisor, in shared memory.
struct Report {
	Outcome outcome = Outcome::fail;
	bool finished = false;
	std::array<char, 400> why{};
};

struct Result {
	Outcome outcome = Outcome::fail;
	std::string why;
};

std::string one_line(std::string text)
{
	while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
		text.pop_back();
	std::replace(text.begin(), text.end(), '\n', ' ');
	return text;
}

/// Turns GoogleTest's events in the test process into KTAP diagnostics and the Report.
class ReportingListener : public testing::EmptyTestEventListener
{
    public:
	explicit ReportingListener(Report &report) : report_(report)
	{
	}

	void OnTestPartResult(const testing::TestPartResult &result) override
	{
		if (result.type() == testing::TestPartResult::kSuccess)
			return;
		if (result.skipped()) {
			note(result.message());
			return;
		}
		failed_ = true;
		std::istringstream lines(result.message());
		std::cout << "# "
			  << (result.file_name() != nullptr ? result.file_name() : "(no file)")
			  << ':' << result.line_number() << ":\n";
		for (std::string line; std::getline(lines, line);)
			std::cout << "#   " << line << '\n';
		std::cout.flush();
	}

	void OnTestEnd(const testing::TestInfo &info) override
	{
		const testing::TestResult &result = *info.result();
		report_.outcome = result.Failed()    ? Outcome::fail
				  : result.Skipped() ? Outcome::skip
						     : Outcome::pass;
		report_.finished = true;
	}

	void note(const std::string &why)
	{
		const std::string line = one_line(why);
		const auto length = std::min(line.size(), report_.why.size() - 1);
		std::copy_n(line.begin(), length, report_.why.begin());
		report_.why.at(length) = '\0';
	}

	/// Says how a test ended that was left by an exception: a test that has failed already
	/// cannot skip any more.
	void left_by(Outcome outcome, const std::exception &error)
	{
		note(error.what());
		report_.outcome = failed_ ? Outcome::fail : outcome;
		report_.finished = true;
	}

    private:
	Report &report_;
	bool failed_ = false;
};

// What tests take for granted, where it was changed: as it is by default, until the test ends.
std::vector<std::unique_ptr<SettingGuard>> default_settings()
{
	std::vector<std::unique_ptr<SettingGuard>> guards;
	try {
		guards.push_back(setting_among(use_zero_page, {"1"}, "1"));
		guards.push_back(setting_among(thp_setting(pmd_bytes(), "enabled"),
					       {"inherit", "madvise", "always"}, "inherit"));
	} catch (const Skip &) { // no huge pages, or not root: the tests find out
	}
	return guards;
}

int run_in_child(const std::string &name, Report &report)
{
	prefault_process();
	const auto settings = default_settings();

	auto &listeners = testing::UnitTest::GetInstance()->listeners();
	delete listeners.Release(listeners.default_result_printer());
	auto *listener = new ReportingListener(report);
	listeners.Append(listener);

	testing::GTEST_FLAG(filter) = name;
	testing::GTEST_FLAG(repeat) = 1;
	testing::GTEST_FLAG(shuffle) = false;
	testing::GTEST_FLAG(catch_exceptions) = false;
	try {
		[[maybe_unused]] const int status = RUN_ALL_TESTS();
	} catch (const Skip &skip) {
		listener->left_by(Outcome::skip, skip);
	} catch (const std::exception &error) {
		listener->left_by(Outcome::fail, error);
	}
	return ksft_pass;
}

// Whatever the kernel complains of from here on belongs to this test.
void mark_kernel_log(const std::string &name)
{
	const Fd log(::open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
	if (!log)
		return;
	const std::string line = "per_vma_lock: " + name + '\n';
	[[maybe_unused]] const auto written = ::write(log.get(), line.data(), line.size());
}

Result run_one(const std::string &name, Report &report)
{
	const auto limit = session().test_timeout;
	Ending ending;

	report = Report{};
	mark_kernel_log(name);
	try {
		ending = supervise([&] { return run_in_child(name, report); }, limit);
	} catch (const Skip &skip) {
		return {Outcome::skip, skip.what()};
	} catch (const std::system_error &error) {
		return {Outcome::fail, error.what()};
	}
	if (ending.how == Ending::How::stopped)
		return {Outcome::fail, "interrupted"};
	if (ending.how == Ending::How::too_late)
		return {Outcome::fail, "timed out after " + std::to_string(limit.count()) + " s"};
	if (!report.finished)
		return {Outcome::fail, crash_text(ending.status)};
	if (ending.restored != 0 && report.outcome == Outcome::pass)
		return {Outcome::fail,
			"left " + std::to_string(ending.restored) + " settings changed"};
	return {report.outcome, report.why.data()};
}

std::vector<std::string> selected_tests()
{
	// GoogleTest applies its filter only inside RUN_ALL_TESTS(); listing does no more than
	// that.
	std::cout.flush();
	std::fflush(stdout);
	const Fd saved(::dup(STDOUT_FILENO));
	const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
	::dup2(null.get(), STDOUT_FILENO);
	testing::GTEST_FLAG(list_tests) = true;
	[[maybe_unused]] const int listed = RUN_ALL_TESTS();
	testing::GTEST_FLAG(list_tests) = false;
	std::fflush(stdout);
	::dup2(saved.get(), STDOUT_FILENO);

	std::vector<std::string> names;
	const testing::UnitTest &unit = *testing::UnitTest::GetInstance();
	for (int s = 0; s < unit.total_test_suite_count(); s++) {
		const testing::TestSuite &suite = *unit.GetTestSuite(s);
		for (int t = 0; t < suite.total_test_count(); t++) {
			const testing::TestInfo &test = *suite.GetTestInfo(t);
			if (test.should_run())
				names.push_back(std::string(suite.name()) + '.' + test.name());
		}
	}
	if (testing::GTEST_FLAG(shuffle)) {
		const auto wanted = testing::GTEST_FLAG(random_seed);
		const auto seed = wanted != 0 ? static_cast<unsigned>(wanted)
					      : std::random_device{}() % 100000;
		std::cout << "# shuffled: --gtest_random_seed=" << seed << '\n';
		std::shuffle(names.begin(), names.end(), std::mt19937(seed));
	}
	return names;
}

} // namespace

std::string ktap_line(unsigned number, const std::string &name, Outcome outcome,
		      const std::string &why)
{
	std::string line = outcome == Outcome::fail ? "not ok " : "ok ";
	line += std::to_string(number) + ' ' + name;
	if (outcome == Outcome::skip)
		line += " # SKIP " + one_line(why);
	else if (!why.empty())
		line += " # " + one_line(why);
	return line;
}

int exit_code(unsigned passed, unsigned failed, unsigned skipped)
{
	if (failed != 0)
		return ksft_fail;
	return passed == 0 && skipped != 0 ? ksft_skip : ksft_pass;
}

int run_tests()
{
	void *memory = ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		throw_errno("mmap: shared report");
	auto &report = *new (memory) Report;
	SettingJournal::create();
	install_stop_signals();

	const auto names = selected_tests();
	const auto rounds = static_cast<std::size_t>(std::max(testing::GTEST_FLAG(repeat), 1));
	std::cout << "KTAP version 1\n1.." << names.size() * rounds << std::endl;

	std::array<unsigned, 3> count{};
	unsigned number = 0;
	for (std::size_t round = 0; round < rounds; round++) {
		for (const std::string &name : names) {
			const Result result = run_one(name, report);
			count.at(static_cast<std::size_t>(result.outcome))++;
			std::cout << ktap_line(++number, name, result.outcome, result.why)
				  << std::endl;
			if (stop_signal() != 0) {
				std::cout << "Bail out! signal " << stop_signal() << std::endl;
				return ksft_fail;
			}
		}
	}
	const auto [passed, failed, skipped] = count;
	std::cout << "# Totals: pass:" << passed << " fail:" << failed
		  << " xfail:0 xpass:0 skip:" << skipped << " error:0" << std::endl;
	return exit_code(passed, failed, skipped);
}

void list_tests()
{
	for (const std::string &name : selected_tests())
		std::cout << name << '\n';
}

} // namespace pvl
