// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace pvl
{

/// Names of the kinds of fault that measure_contention() knows.
std::vector<std::string> contention_kinds();

/// Takes faults of @p kind in fresh VMAs with @p threads threads for @p duration, beside one more
/// thread that keeps taking mmap_lock for write (mprotect over many pages).
///
/// Returns the members of a JSON object: faults_per_second, p50_ns, p99_ns, max_ns, what
/// /proc/vmstat counted meanwhile (vma_lock_*), write_locks_per_second, and, from a second,
/// shorter pass in which events are counted: blocking_locks_per_1000_faults. Throws Skip.
std::string measure_contention(const std::string &kind, unsigned int threads,
			       std::chrono::milliseconds duration);

} // namespace pvl
