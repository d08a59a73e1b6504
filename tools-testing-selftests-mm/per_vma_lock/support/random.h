// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

namespace pvl
{

/// Random choices that depend on the seed and the stream number alone, so that a run can be
/// repeated.
class Random
{
    public:
	Random(std::uint64_t seed, std::uint64_t stream) : engine_(seed * 1000003 + stream)
	{
	}

	/// A number from 0 to @p count - 1; @p count must not be 0.
	std::size_t below(std::size_t count)
	{
		return static_cast<std::size_t>(engine_() % count);
	}

	std::uint8_t byte()
	{
		return static_cast<std::uint8_t>(engine_());
	}

	/// True once in @p count calls on average.
	bool one_in(std::size_t count)
	{
		return below(count) == 0;
	}

    private:
	std::mt19937_64 engine_;
};

} // namespace pvl
