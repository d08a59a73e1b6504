// SPDX-License-Identifier: GPL-2.0
#include "instruction_clock.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace pvl
{
namespace
{

/// Ticks of a loop of @turns turns, two instructions each.
Instructions ticks_of_loop(std::uint64_t turns)
{
	Instructions start = 0;
	Instructions end = 0;

	asm volatile("rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     "mov %%rax, %[start]\n\t"
		     "1: dec %[turns]\n\t"
		     "jnz 1b\n\t"
		     "rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     : [start] "=&r"(start), [turns] "+&r"(turns), "=&a"(end)
		     :
		     : "rdx", "cc");
	return end - start;
}

constexpr int readings = 33;

/// The lower quartile of many readings: a timer interrupt inflates a few.
template <typename Probe> Instructions usual(Probe probe)
{
	std::array<Instructions, readings> ticks;

	for (Instructions &reading : ticks)
		reading = probe();
	std::sort(ticks.begin(), ticks.end());
	return ticks.at(readings / 4);
}

/// Holds the RET that the call probe needs.
[[gnu::naked, gnu::noinline]] void only_return()
{
	asm("ret");
}

} // namespace

ClockCheck check_instruction_clock()
{
	constexpr std::uint64_t instructions_per_turn = 2;
	constexpr std::array<std::uint64_t, 4> turns = {1, 100, 1000, 10000};
	const Instructions shortest = usual([&] { return ticks_of_loop(turns[0]); });

	for (std::uint64_t length : turns) {
		const Instructions ticks = usual([&] { return ticks_of_loop(length); });
		const Instructions expected = (length - turns[0]) * instructions_per_turn;

		if (ticks - shortest != expected)
			return {false,
				"a loop that is " + std::to_string(expected) +
					" instructions longer took " +
					std::to_string(
						static_cast<std::int64_t>(ticks - shortest)) +
					" more ticks of the time stamp counter",
				{}};
	}

	std::byte present{1};
	return {true,
		{},
		{usual([&] { return ticks_of_read(&present); }),
		 usual([&] { return ticks_of_write(&present); }),
		 usual([] { return ticks_of_call(reinterpret_cast<const void *>(only_return)); })}};
}

void wait_for_timer_interrupt()
{
	constexpr Instructions interruption = 500;
	constexpr Instructions quiet_for = 100'000;
	constexpr Instructions patience = 100'000'000;
	const Instructions first = ticks_now();
	Instructions last_interruption = 0;

	for (Instructions before = first, now = first; now - first < patience; before = now) {
		now = ticks_now();
		if (now - before > interruption)
			last_interruption = now;
		if (last_interruption && now - last_interruption > quiet_for)
			return;
	}
}

} // namespace pvl
