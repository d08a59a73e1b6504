// SPDX-License-Identifier: GPL-2.0
#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <vector>

#include "support/options.h"
#include "support/probes.h"
#include "support/runner.h"
#include "support/scratch.h"
#include "support/session.h"

namespace
{

constexpr const char *usage_text = R"(Usage: per_vma_lock [OPTION]...

Tests how user memory gets its first anonymous page: that the data is right, and which lock the
fault took. Prints KTAP. Each test runs in a process of its own.

  --expect=patched    mmap_lock acquisitions have to be those of a kernel with the series
  --expect=mainline   ... of a kernel without it; data has to be right on both
  --expect=auto       patched where /proc/kallsyms has vma_anon_prepare_or_unlock, otherwise tests that
                      the series changes are skipped (default)
  --list, --gtest_list_tests
                      print the names of the tests and exit
  --scale=PERCENT     scale the number of iterations and the duration of races (default 100, or
                      the environment variable PER_VMA_LOCK_SCALE); slow debug kernels: 10
  --seed=N            seed for everything random (default 1)
  --test-timeout=S    kill a test after S seconds (default 45)
  --disk=DIR          directory on a file system with a disk behind it (default: the first such
                      among /mnt, /var/tmp, /tmp and the current one)
  --gtest_filter=PATTERN, --gtest_shuffle, --gtest_random_seed=N, --gtest_repeat=N
                      as GoogleTest defines them
  --help              print this

Every measured access prints one line:
  # fault KIND mmap_lock N trylock N anon_vma N verdict patched|mainline|both|other
with the mmap_lock acquisitions of the accessing thread, how many of them were trylocks, how often
__anon_vma_prepare() ran, and which kernel's numbers these are.

Exit status: 0 all passed, 1 a test failed, 2 usage, 4 everything was skipped.
Settings and mounts that a test changes are put back, also after a crash.
)";

constexpr int exit_usage = 2;

} // namespace

int main(int argc, char **argv)
{
	pvl::Session &session = pvl::session();
	std::vector<std::string> arguments(argv + 1, argv + argc);

	// GoogleTest would print its own help and stop.
	for (const std::string &argument : arguments) {
		if (argument == "--help" || argument == "-h") {
			std::cout << usage_text;
			return pvl::ksft_pass;
		}
	}
	try {
		testing::InitGoogleTest(&argc, argv);
		arguments.assign(argv + 1, argv + argc);
		const pvl::Command command = pvl::parse_options(arguments, session);
		if (command == pvl::Command::list || testing::GTEST_FLAG(list_tests)) {
			pvl::list_tests();
			return pvl::ksft_pass;
		}
		if (session.expect == pvl::Expect::automatic)
			session.series_applied =
				pvl::kernel_has_symbol("vma_anon_prepare_or_unlock");
		const pvl::Scratch scratch;
		const pvl::Probes probes;
		return pvl::run_tests();
	} catch (const pvl::UsageError &error) {
		std::cerr << "per_vma_lock: " << error.what() << '\n';
		return exit_usage;
	} catch (const std::exception &error) {
		std::cerr << "per_vma_lock: " << error.what() << '\n';
		return pvl::ksft_fail;
	}
}
