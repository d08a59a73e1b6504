// SPDX-License-Identifier: GPL-2.0
#include "support/probes.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <set>

#include "support/error.h"
#include "support/mapping.h"
#include "support/session.h"

namespace pvl
{

namespace
{

constexpr const char *prefix = "per_vma_lock_";

struct Probe {
	const char *type; ///< "p": where the function begins; "r": where it returns
	const char *event;
	const char *what; ///< function and arguments to record
};

constexpr std::array probes{
	Probe{"p", LockCounter::trylock_event, "down_read_trylock"},
	Probe{"p", LockCounter::prepare_event, "__anon_vma_prepare"},
	Probe{"r", LockCounter::vma_lock_event, "lock_vma_under_rcu vma=$retval"},
};

// Before Linux 6.15 a VMA lock is an rw_semaphore that is taken by trylock, later it is none. A
// fault that needs nothing but the VMA lock tells.
std::uint64_t count_trylocks_per_vma_lock()
{
	MapRequest request;
	request.bytes = 2 * page_bytes();
	const Mapping map(request);
	store(map.at(0), 1); // for the anon_vma
	LockCounter counter;
	const LockEvents seen = counter.measure([&] { load(map.at(page_bytes())); });
	return seen.mmap_locks() == 0 ? seen.trylocks.value_or(0) : 0;
}

bool command(const std::string &file, const std::string &text)
{
	const Fd fd(::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
	return fd &&
	       ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void remove_group(const std::string &file, const std::string &group)
{
	for (const Probe &probe : probes)
		command(file, "-:" + group + '/' + probe.event + '\n');
}

// Groups named after processes that no longer exist: their runs were killed.
std::set<std::string> stale_groups(const std::string &file)
{
	std::set<std::string> stale;
	std::ifstream lines(file);
	// "p:per_vma_lock_123/trylock down_read_trylock"
	for (std::string line; std::getline(lines, line);) {
		const auto colon = line.find(':');
		const auto slash = line.find('/');
		if (colon == std::string::npos || slash == std::string::npos || slash < colon)
			continue;
		const std::string group = line.substr(colon + 1, slash - colon - 1);
		const int pid = process_of_group(group);
		if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH)
			stale.insert(group);
	}
	return stale;
}

} // namespace

int process_of_group(const std::string &group)
{
	const std::string start(prefix);
	if (group.compare(0, start.size(), start) != 0)
		return 0;
	int pid = 0;
	const char *end = group.data() + group.size();
	const auto [stop, error] = std::from_chars(group.data() + start.size(), end, pid);
	return error == std::errc() && stop == end ? pid : 0;
}

Probes::Probes()
{
	try {
		const std::string file = tracefs() + "/kprobe_events";
		for (const std::string &group : stale_groups(file))
			remove_group(file, group);

		const std::string group = prefix + std::to_string(::getpid());
		bool defined = true;
		for (const Probe &probe : probes)
			defined = command(file, std::string(probe.type) + ':' + group + '/' +
							probe.event + ' ' + probe.what + '\n') &&
				  defined;
		group_ = group;
		if (defined)
			session().probe_group = group;
		for (const char *name : {LockCounter::start_event, LockCounter::returned_event})
			keepers_.push_back(EventCounter::tracepoint(name, "", nullptr));
		if (!defined)
			return;
		for (const Probe &probe : probes)
			keepers_.push_back(
				EventCounter::tracepoint(group + '/' + probe.event, "", nullptr));
		session().trylocks_per_vma_lock = count_trylocks_per_vma_lock();
	} catch (const std::exception &) {
		keepers_.clear(); // the tests that count will say what is missing
	}
}

Probes::~Probes()
{
	keepers_.clear();
	if (!group_.empty())
		remove_group(tracefs() + "/kprobe_events", group_);
}

} // namespace pvl
