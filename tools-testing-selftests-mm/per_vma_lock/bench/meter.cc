// SPDX-License-Identifier: GPL-2.0
#include <system_error>

#include "bench_case.h"

namespace pvl
{

void Meter::read(const std::byte *address)
{
	measure([&] { return ticks_of_read(address) - overhead_.read; });
}

void Meter::write(std::byte *address)
{
	measure([&] { return ticks_of_write(address) - overhead_.write; });
}

void Meter::execute(const std::byte *address)
{
	measure([&] { return ticks_of_call(address) - overhead_.call; });
}

void Meter::system_call(const std::string &name, long number, std::uint64_t first,
			std::uint64_t second, std::uint64_t third)
{
	measure([&] {
		const TimedSyscall call = ticks_of_syscall(number, first, second, third);
		if (call.result < 0)
			throw std::system_error(static_cast<int>(-call.result),
						std::generic_category(), name);
		return call.ticks;
	});
}

void InstructionMeter::measure(const std::function<Instructions()> &access)
{
	if (after_timer_interrupt_)
		wait_for_timer_interrupt();
	sum_ += access();
}

void EventMeter::measure(const std::function<Instructions()> &access)
{
	events_.measure(sum_, access);
}

} // namespace pvl
