// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <functional>

namespace pvl
{

/// Runs @p body in a forked child and waits for it. Returns whether it ended without a GoogleTest
/// failure, an exception or a signal; what failed is printed by the child. A Skip thrown in the
/// child is thrown again here, unless something failed before it.
[[nodiscard]] bool passes_in_child(const std::function<void()> &body);

} // namespace pvl
