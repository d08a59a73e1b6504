// SPDX-License-Identifier: GPL-2.0
#include "bench_case.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace per_vma_lock
{

template <typename Access> void Meter::measure(Access access)
{
	if (counts_ == Counts::instructions) {
		if (after_timer_interrupt_)
			wait_for_timer_interrupt();
		instructions_ += access();
		return;
	}

	const auto before = events_->values();
	access();
	const auto after = events_->values();
	seen_.resize(after.size(), 0);
	for (std::size_t event = 0; event < after.size(); event++) {
		if (!before[event] || !after[event])
			seen_[event].reset();
		else
			*seen_[event] += *after[event] - *before[event];
	}
}

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

Instructions Meter::take_instructions()
{
	return std::exchange(instructions_, 0);
}

std::vector<std::optional<std::uint64_t>> Meter::take_events()
{
	return std::exchange(seen_, {});
}

} // namespace per_vma_lock
