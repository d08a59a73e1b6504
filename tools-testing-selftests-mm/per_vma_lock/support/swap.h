// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <memory>
#include <string>

#include "support/setting.h"

namespace pvl
{

/// Swap space for the guard's lifetime, on a zram device that nobody uses; switched off and reset
/// also after a crash of the test. Throws Skip when this user or kernel has none to give.
class ZramSwap
{
    public:
	ZramSwap();
	ZramSwap(const ZramSwap &) = delete;
	ZramSwap &operator=(const ZramSwap &) = delete;
	~ZramSwap();

    private:
	std::string device_; // "/dev/zram0"
	std::string reset_;  // "/sys/block/zram0/reset"
	int reset_slot_ = -1;
	int swapoff_slot_ = -1;
};

} // namespace pvl
