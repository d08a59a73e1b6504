// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <string>
#include <vector>

#include "support/event_counter.h"

namespace pvl
{

/// The kernel functions that LockCounter counts, made into trace events for the life of the run.
///
/// As root it defines kprobe events in a tracefs group of this process's own (removed by the
/// destructor; groups of processes that are gone are removed too), and keeps one disabled event of
/// each kind open: switching a tracepoint off for good waits for RCU, hundreds of milliseconds per
/// test otherwise. Without tracefs or kprobes nothing is defined, and LockCounter counts less.
class Probes
{
    public:
	/// Sets Session::probe_group and trylocks_per_vma_lock. Throws nothing: what is missing,
	/// the tests report.
	Probes();
	Probes(const Probes &) = delete;
	Probes &operator=(const Probes &) = delete;
	~Probes();

    private:
	std::string group_;
	std::vector<EventCounter> keepers_;
};

/// The process whose run made the tracefs group @p group ("per_vma_lock_123"), 0 when it is not
/// one of ours.
int process_of_group(const std::string &group);

} // namespace pvl
