// SPDX-License-Identifier: GPL-2.0
//
// Unit tests of the support code: "make check". They need no special kernel and no root.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/child.h"
#include "support/error.h"
#include "support/fd.h"
#include "support/fuzz_model.h"
#include "support/lock_cost.h"
#include "support/mapping.h"
#include "support/memory.h"
#include "support/options.h"
#include "support/probes.h"
#include "support/race.h"
#include "support/random.h"
#include "support/runner.h"
#include "support/session.h"
#include "support/setting.h"
#include "support/signals.h"
#include "support/supervise.h"

namespace pvl
{

namespace
{

namespace fs = std::filesystem;

/// A file with given content, removed by the destructor.
class TextFile
{
    public:
	explicit TextFile(const std::string &text)
	{
		std::string pattern = (fs::temp_directory_path() / "pvl_check.XXXXXX").string();
		const Fd fd(checked(::mkstemp(pattern.data()), "mkstemp"));
		path_ = pattern;
		std::ofstream(path_) << text;
	}
	TextFile(const TextFile &) = delete;
	TextFile &operator=(const TextFile &) = delete;
	~TextFile()
	{
		std::error_code ignored;
		fs::remove(path_, ignored);
	}

	[[nodiscard]] const std::string &path() const noexcept
	{
		return path_;
	}
	[[nodiscard]] std::string content() const
	{
		std::ifstream file(path_);
		return {std::istreambuf_iterator<char>(file), {}};
	}

    private:
	std::string path_;
};

bool is_open(int fd)
{
	return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(FdCheck, ClosesOnceAndMoves)
{
	Fd first(::dup(STDOUT_FILENO));
	const int number = first.get();
	ASSERT_TRUE(is_open(number));
	Fd second(std::move(first));
	EXPECT_EQ(second.get(), number);
	EXPECT_TRUE(is_open(number));
	second.reset();
	EXPECT_FALSE(is_open(number));
	EXPECT_FALSE(second);
}

TEST(MappingCheck, IsAlignedAndLiesAlone)
{
	MapRequest request;
	request.bytes = 3 * page_bytes();
	request.alignment = std::size_t{2} << 20;
	const Mapping map(request);
	EXPECT_EQ(reinterpret_cast<std::uintptr_t>(map.data()) % request.alignment, 0U);
	EXPECT_EQ(map.size(), request.bytes);

	// The neighbours are there (nothing else can be mapped beside it) and inaccessible.
	std::uint8_t *before = map.data() - 1;
	std::uint8_t *after = map.data() + map.size();
	const auto low = signal_of([=] { load(before); });
	const auto high = signal_of([=] { load(after); });
	ASSERT_TRUE(low && high);
	EXPECT_EQ(low->code, SEGV_ACCERR);
	EXPECT_EQ(high->code, SEGV_ACCERR);
}

TEST(MappingCheck, UnmapsItself)
{
	std::uint8_t *where = nullptr;
	{
		MapRequest request;
		request.bytes = page_bytes();
		const Mapping map(request);
		where = map.data();
		store(where, 1);
	}
	unsigned char present = 0;
	EXPECT_EQ(::mincore(where, page_bytes(), &present), -1);
	EXPECT_EQ(errno, ENOMEM);
}

TEST(MappingCheck, ThrowsWithErrno)
{
	MapRequest request;
	request.bytes = page_bytes();
	request.flags = MAP_PRIVATE; // no file
	try {
		const Mapping map(request);
		FAIL() << "mapped without a file";
	} catch (const std::system_error &error) {
		EXPECT_EQ(error.code().value(), EBADF);
	}
}

TEST(SignalCheck, TellsWhatAndWhere)
{
	MapRequest request;
	request.bytes = page_bytes();
	request.prot = PROT_READ;
	const Mapping map(request);
	std::uint8_t *target = map.at(17);

	EXPECT_FALSE(signal_of([=] { load(target); }));
	const auto caught = signal_of([=] { store(target, 1); });
	ASSERT_TRUE(caught);
	EXPECT_EQ(caught->number, SIGSEGV);
	EXPECT_EQ(caught->code, SEGV_ACCERR);
	EXPECT_TRUE(caught->in_page_of(target)) << caught->address;
}

TEST(SignalCheckDeathTest, LetsOtherCrashesThrough)
{
	signal_of([] {}); // the handlers are in place now
	EXPECT_EXIT(store(nullptr, 1), testing::KilledBySignal(SIGSEGV), "");
}

TEST(SettingCheck, KnowsTheSelectedWord)
{
	EXPECT_EQ(selected_value("always [madvise] never\n"), "madvise");
	EXPECT_EQ(selected_value("64\n"), "64");
	EXPECT_EQ(selected_value(""), "");
}

TEST(SettingCheck, IsRestoredByTheGuard)
{
	SettingJournal::create();
	const TextFile file("before\n");
	{
		SettingGuard guard(file.path(), "during");
		EXPECT_EQ(guard.original(), "before");
		EXPECT_EQ(selected_value(file.content()).substr(0, 6), "during");
		guard.set("other!");
	}
	EXPECT_EQ(file.content().substr(0, 6), "before");
	EXPECT_EQ(SettingJournal::restore(), 0) << "the guard left something behind";
}

TEST(SettingCheck, OverlappingGuardsRestoreWhatTheFirstFound)
{
	SettingJournal::create();
	const TextFile file("before\n");
	auto first = std::make_unique<SettingGuard>(file.path(), "first.");
	auto second = std::make_unique<SettingGuard>(file.path(), "second");
	auto third = std::make_unique<SettingGuard>(file.path(), "third.");
	EXPECT_EQ(third->original(), "before");
	third.reset();
	EXPECT_EQ(file.content().substr(0, 6), "second");
	first.reset();
	EXPECT_EQ(file.content().substr(0, 6), "second");
	second.reset();
	EXPECT_EQ(file.content().substr(0, 6), "before");
	EXPECT_EQ(SettingJournal::restore(), 0) << "the guards left something behind";
}

TEST(SettingCheck, IsRestoredNewestFirst)
{
	SettingJournal::create();
	const TextFile file("during\n");
	const int first = SettingJournal::note_write(file.path(), "first.");
	SettingJournal::note_write(file.path(), "before");
	SettingJournal::forget(first);
	SettingJournal::note_write(file.path(), "newest");
	EXPECT_EQ(SettingJournal::restore(), 2);
	EXPECT_EQ(file.content().substr(0, 6), "before");
}

TEST(SettingCheck, IsRestoredAfterACrash)
{
	SettingJournal::create();
	const TextFile file("before\n");
	const pid_t pid = ::fork();
	if (pid == 0) {
		const SettingGuard guard(file.path(), "during");
		::kill(::getpid(), SIGKILL); // no destructor runs
	}
	::waitpid(pid, nullptr, 0);
	EXPECT_EQ(file.content().substr(0, 6), "during");
	EXPECT_EQ(SettingJournal::restore(), 1);
	EXPECT_EQ(file.content().substr(0, 6), "before");
}

TEST(SettingCheck, SkipsWhatIsMissing)
{
	SettingJournal::create();
	EXPECT_THROW(SettingGuard("/nonexistent/setting", "1"), Skip);
	EXPECT_EQ(SettingJournal::restore(), 0);
}

TEST(KallsymsCheck, WantsTheWholeNameOfATextSymbol)
{
	const TextFile symbols("0000000000000000 T vma_anon_prepare_or_unlock_more\n"
			       "0000000000000000 d vma_lock_data\n"
			       "0000000000000000 t vma_lock_static\t[module]\n"
			       "0000000000000000 T vma_lock_global\n");
	EXPECT_TRUE(kernel_has_symbol("vma_lock_global", symbols.path()));
	EXPECT_TRUE(kernel_has_symbol("vma_lock_static", symbols.path()));
	EXPECT_FALSE(kernel_has_symbol("vma_anon_prepare_or_unlock", symbols.path()));
	EXPECT_FALSE(kernel_has_symbol("vma_lock_data", symbols.path()));
	EXPECT_FALSE(kernel_has_symbol("vma_lock_global", "/nonexistent"));
}

Session parsed(const std::vector<std::string> &arguments)
{
	Session session;
	parse_options(arguments, session);
	return session;
}

TEST(OptionCheck, ReadsEveryOption)
{
	const Session session = parsed({"--expect=patched", "--scale=10", "--seed=7",
					"--test-timeout=3", "--disk=/somewhere"});
	EXPECT_EQ(session.expect, Expect::patched);
	EXPECT_EQ(session.scale_percent, 10U);
	EXPECT_EQ(session.seed, 7U);
	EXPECT_EQ(session.test_timeout.count(), 3);
	EXPECT_EQ(session.disk_dir, "/somewhere");
	EXPECT_EQ(session.scaled(5), 1U);
	EXPECT_EQ(session.scaled(100), 10U);
}

TEST(SessionCheck, JudgesWhatWasAskedForElseThePatchedKernel)
{
	Session session;
	EXPECT_EQ(session.judged(), Expect::automatic);
	session.series_applied = true;
	EXPECT_EQ(session.judged(), Expect::patched);
	session.expect = Expect::mainline;
	EXPECT_EQ(session.judged(), Expect::mainline);
	session = parsed({"--expect=patched"});
	EXPECT_EQ(session.judged(), Expect::patched);
}

TEST(OptionCheck, SaysWhatIsWrong)
{
	for (const std::string bad :
	     {"--expect=new", "--expect", "--scale=0", "--scale=x", "--seed=-1",
	      "--seed=", "--test-timeout=1e3", "--unknown", "word"}) {
		Session session;
		try {
			parse_options({bad}, session);
			ADD_FAILURE() << bad << " was accepted";
		} catch (const UsageError &error) {
			EXPECT_NE(std::string(error.what()).find(bad.substr(0, bad.find('='))),
				  std::string::npos)
				<< error.what();
		}
	}
}

TEST(OptionCheck, ScaleComesFromTheEnvironmentToo)
{
	ASSERT_EQ(::setenv("PER_VMA_LOCK_SCALE", "25", 1), 0);
	EXPECT_EQ(parsed({}).scale_percent, 25U);
	EXPECT_EQ(parsed({"--scale=50"}).scale_percent, 50U);
	::unsetenv("PER_VMA_LOCK_SCALE");
}

LockEvents events(std::uint64_t locks, std::uint64_t trylocks, std::uint64_t prepares)
{
	LockEvents seen;
	seen.read_locks = locks;
	seen.trylocks = trylocks;
	seen.anon_vma_prepares = prepares;
	return seen;
}

TEST(LockCostCheck, TellsKernelsApart)
{
	constexpr ExpectedCost cost{one_blocking, one_trylock};
	EXPECT_EQ(verdict(cost, events(1, 0, 1)), "mainline");
	EXPECT_EQ(verdict(cost, events(1, 1, 1)), "patched");
	EXPECT_EQ(verdict(cost, events(2, 1, 1)), "other");
	EXPECT_EQ(verdict(ExpectedCost::both(vma_lock_only), events(0, 0, 0)), "both");
	EXPECT_EQ(verdict(ExpectedCost::both(vma_lock_only), events(0, 0, 1)), "other");
}

TEST(LockCostCheck, CountsWriteLocksToo)
{
	LockEvents seen = events(0, 0, 0);
	seen.write_locks = 1;
	EXPECT_EQ(verdict(ExpectedCost::both(vma_lock_only), seen), "other");
}

TEST(LockCostCheck, DoesWithoutKprobes)
{
	LockEvents seen;
	seen.read_locks = 1;
	EXPECT_EQ(verdict({one_blocking, one_trylock}, seen), "both");
	EXPECT_EQ(fault_line("anon/first_write", {one_blocking, one_trylock}, seen),
		  "# fault anon/first_write mmap_lock 1 trylock - anon_vma - verdict both");
}

TEST(LockCostCheck, IsNotJudgedInFullWithoutKprobes)
{
	EXPECT_THROW(expect_cost("check", ExpectedCost::both(vma_lock_only), LockEvents()), Skip);
	EXPECT_NO_THROW(expect_cost("check", ExpectedCost::both(vma_lock_only), events(0, 0, 0)));
}

TEST(KtapCheck, WritesResultLines)
{
	EXPECT_EQ(ktap_line(1, "A.B", Outcome::pass, ""), "ok 1 A.B");
	EXPECT_EQ(ktap_line(2, "A.B/c", Outcome::fail, "crashed"), "not ok 2 A.B/c # crashed");
	EXPECT_EQ(ktap_line(3, "A.B", Outcome::skip, "not\nroot\n"), "ok 3 A.B # SKIP not root");
}

TEST(KtapCheck, ExitCodeIsThatOfKselftest)
{
	EXPECT_EQ(exit_code(5, 0, 2), ksft_pass);
	EXPECT_EQ(exit_code(5, 1, 2), ksft_fail);
	EXPECT_EQ(exit_code(0, 0, 2), ksft_skip);
	EXPECT_EQ(exit_code(0, 0, 0), ksft_pass);
}

TEST(ProbeCheck, KnowsItsOwnGroups)
{
	EXPECT_EQ(process_of_group("per_vma_lock_123"), 123);
	EXPECT_EQ(process_of_group("per_vma_lock_"), 0);
	EXPECT_EQ(process_of_group("per_vma_lock_12x"), 0);
	EXPECT_EQ(process_of_group("kprobes"), 0);
}

TEST(SuperviseCheck, LeavesAnIgnoredSignalIgnored)
{
	EXPECT_TRUE(passes_in_child([] {
		std::signal(SIGHUP, SIG_IGN);
		std::signal(SIGTERM, SIG_DFL);
		install_stop_signals();
		EXPECT_EQ(std::signal(SIGHUP, SIG_DFL), SIG_IGN);
		EXPECT_NE(std::signal(SIGTERM, SIG_DFL), SIG_DFL);
	}));
}

TEST(SuperviseCheck, TakesForkedChildrenAlongWhenKilled)
{
	constexpr int patience_ms = 10000;
	std::array<int, 2> ends{};
	checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
	const Fd reader(ends[0]);
	Fd writer(ends[1]);
	const auto body = [&] {
		checked(::fork(), "fork");
		checked(::write(writer.get(), "x", 1), "write to a pipe");
		return ::pause();
	};
	const pid_t pid = checked(::fork(), "fork");
	if (pid == 0) {
		supervise(body);
		::_exit(0);
	}
	writer.reset();
	char byte = 0;
	for (int process = 0; process < 2; process++) // both run
		ASSERT_EQ(::read(reader.get(), &byte, 1), 1);
	checked(::kill(pid, SIGKILL), "kill");
	ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
	pollfd end{reader.get(), POLLIN, 0};
	ASSERT_EQ(::poll(&end, 1, patience_ms), 1) << "somebody has the pipe open";
	EXPECT_EQ(::read(reader.get(), &byte, 1), 0);
}

TEST(RandomCheck, RepeatsAndDiffersByStream)
{
	Random first(1, 0);
	Random again(1, 0);
	Random other(1, 1);
	bool differs = false;
	for (int i = 0; i < 20; i++) {
		const auto number = first.below(1000);
		EXPECT_EQ(number, again.below(1000));
		EXPECT_LT(number, 1000U);
		differs = differs || number != other.below(1000);
	}
	EXPECT_TRUE(differs);
}

TEST(RaceCheck, RunsEveryThreadAndPassesExceptionsOn)
{
	std::array<std::atomic<int>, 3> calls{};
	Race race;
	for (auto &count : calls)
		race.add([&](Random &) { count++; });
	race.run_times(5);
	for (const auto &count : calls)
		EXPECT_EQ(count, 5);

	Race failing;
	failing.add([](Random &) { throw Skip("no"); });
	EXPECT_THROW(failing.run(), Skip);
}

TEST(MemoryCheck, StartsWithWhatItSays)
{
	for (const Backing backing : {Backing::anon, Backing::memfd_private, Backing::memfd_shared,
				      Backing::shared_anon, Backing::dev_zero}) {
		Memory memory(backing);
		const auto shadow = memory.shadow();
		EXPECT_EQ(first_difference(memory.map().data(), shadow.data(), shadow.size()),
			  shadow.size())
			<< name_of(backing);
		memory.prepare_anon_vma();
		EXPECT_EQ(memory.file_is_unchanged(), backing != Backing::memfd_shared)
			<< name_of(backing);
	}
}

TEST(FuzzCheck, OperationsSurviveBeingText)
{
	Random random(3, 0);
	constexpr std::size_t count = 50;
	std::vector<Operation> operations;
	operations.reserve(count);
	for (std::size_t i = 0; i < count; i++)
		operations.push_back(random_operation(random));
	EXPECT_EQ(parse_operations(to_text(operations)), operations);
	for (const char *bad : {"write", "write:1:2", "jump:1:2:3", "write:1:2:x"})
		EXPECT_THROW(parse_operation(bad), std::invalid_argument) << bad;
}

TEST(FuzzCheck, FindsTheShortestList)
{
	std::vector<Operation> operations(40);
	for (std::size_t i = 0; i < operations.size(); i++)
		operations[i].place = static_cast<std::uint32_t>(i);
	const auto fails = [](const std::vector<Operation> &list) {
		bool seven = false;
		bool thirty = false;
		for (const Operation &operation : list) {
			seven = seven || operation.place == 7;
			thirty = thirty || operation.place == 30;
		}
		return seven && thirty;
	};
	const auto shortest = minimal(operations, fails);
	ASSERT_EQ(shortest.size(), 2U);
	EXPECT_EQ(shortest[0].place, 7U);
	EXPECT_EQ(shortest[1].place, 30U);
}

TEST(FuzzCheck, FindsALie)
{
	SettingJournal::create();
	const auto run = [](const std::string &text) {
		FuzzWorld world;
		for (const Operation &operation : parse_operations(text))
			if (world.apply(operation))
				return false;
		return !world.check_all();
	};
	EXPECT_TRUE(run("map:0:0:0,write:0:5:7,fork:0:5:1,guard:0:4096:0,read:0:0:0"));
	EXPECT_FALSE(run("map:0:0:0,write:0:5:7,lie:0:5:0,read:0:0:0"));
	EXPECT_FALSE(run("map:0:0:0,lie:0:5000:0"));
}

// What run_tests() is tried on, in a process of its own: "--victims".

constexpr const char *victim_setting = "PVL_VICTIM_SETTING";

TEST(Victim, Passes)
{
}

TEST(Victim, Fails)
{
	EXPECT_EQ(1, 2) << "said so";
}

TEST(Victim, Skips)
{
	GTEST_SKIP() << "by GoogleTest";
}

TEST(Victim, Lacks)
{
	throw Skip("something");
}

TEST(Victim, FailsThenLacks)
{
	EXPECT_EQ(1, 2);
	throw Skip("something");
}

TEST(Victim, ChildFailsThenLacks)
{
	EXPECT_TRUE(passes_in_child([] {
		EXPECT_EQ(1, 2);
		throw Skip("something");
	}));
}

/// The file whose content a victim changes.
std::string victim_path()
{
	const char *path = std::getenv(victim_setting);
	return path != nullptr ? path : "";
}

TEST(Victim, Throws)
{
	throw std::runtime_error("thrown");
}

TEST(Victim, Crashes)
{
	const SettingGuard guard(victim_path(), "during");
	::kill(::getpid(), SIGSEGV);
}

TEST(Victim, Exits)
{
	::_exit(0);
}

TEST(Victim, Hangs)
{
	const SettingGuard guard(victim_path(), "during");
	::pause();
}

TEST(RunnerCheck, ReportsEveryEndOfATestAndRestoresSettings)
{
	const TextFile setting("before\n");
	ASSERT_EQ(::setenv(victim_setting, setting.path().c_str(), 1), 0);
	const std::string self = fs::read_symlink("/proc/self/exe").string();
	FILE *pipe = ::popen((self + " --victims").c_str(), "r");
	ASSERT_NE(pipe, nullptr);
	std::string output;
	for (int c = 0; (c = std::fgetc(pipe)) != EOF;)
		output += static_cast<char>(c);
	const int status = ::pclose(pipe);

	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), ksft_fail);
	for (const char *line : {
		     "KTAP version 1\n1..10\n",
		     "ok 1 Victim.Passes\n",
		     "said so\nnot ok 2 Victim.Fails\n",
		     "ok 3 Victim.Skips # SKIP by GoogleTest\n",
		     "ok 4 Victim.Lacks # SKIP something\n",
		     "not ok 5 Victim.FailsThenLacks # something\n",
		     "not ok 6 Victim.ChildFailsThenLacks\n",
		     "not ok 7 Victim.Throws # thrown\n",
		     "not ok 8 Victim.Crashes # crashed: signal 11 (Segmentation fault)\n",
		     "not ok 9 Victim.Exits # ended early with exit status 0\n",
		     "not ok 10 Victim.Hangs # timed out after 1 s\n",
		     "# Totals: pass:1 fail:7 xfail:0 xpass:0 skip:2 error:0\n",
	     })
		EXPECT_NE(output.find(line), std::string::npos) << line << "is not in\n" << output;
	EXPECT_EQ(setting.content().substr(0, 6), "before");
}

} // namespace

} // namespace pvl

int main(int argc, char **argv)
{
	testing::InitGoogleTest(&argc, argv);
	if (argc > 1 && std::string(argv[1]) == "--victims") {
		testing::GTEST_FLAG(filter) = "Victim.*";
		pvl::session().test_timeout = std::chrono::seconds(1);
		return pvl::run_tests();
	}
	if (testing::GTEST_FLAG(filter) == "*")
		testing::GTEST_FLAG(filter) = "-Victim.*";
	return RUN_ALL_TESTS();
}
