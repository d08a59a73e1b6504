// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <memory>

namespace pvl
{

/// Makes the process bigger: VMAs that nobody touches and threads that sleep.
class Ballast
{
    public:
	/// About @p vmas more VMAs and threads until there are @p threads. Throws std::system_error
	/// (vm.max_map_count, RLIMIT_NPROC).
	Ballast(unsigned int vmas, unsigned int threads);
	Ballast(const Ballast &) = delete;
	Ballast &operator=(const Ballast &) = delete;
	~Ballast();

    private:
	struct Parts;
	std::unique_ptr<Parts> parts_;
};

} // namespace pvl
