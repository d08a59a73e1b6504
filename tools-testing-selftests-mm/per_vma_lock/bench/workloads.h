// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace pvl
{

/// Names of the workloads that measure_workload() knows.
std::vector<std::string> workload_names();

/// Runs workload @p name in @p threads threads for @p duration.
///
/// Returns the members of a JSON object: operations, per_second, and what /proc/vmstat counted
/// meanwhile (vma_lock_*). Throws std::system_error.
std::string measure_workload(const std::string &name, unsigned int threads,
			     std::chrono::milliseconds duration);

} // namespace pvl
