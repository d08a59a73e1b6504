// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <chrono>
#include <functional>

namespace pvl
{

/// Asks @p condition again and again, with pauses, until it holds or @p limit has passed. Returns
/// whether it held. For what another thread of the kernel does some time later.
[[nodiscard]] bool holds_within(std::chrono::milliseconds limit,
				const std::function<bool()> &condition);

} // namespace pvl
