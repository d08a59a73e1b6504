// SPDX-License-Identifier: GPL-2.0
//
// A benchmark case: one kind of fault, taken again and again in the same state.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fault_events.h"
#include "fixed_mapping.h"
#include "instruction_clock.h"

namespace pvl
{

/// Takes the measured accesses of one sample. Where a case makes several accesses through the
/// meter, the sample is their sum.
class Meter
{
    public:
	virtual ~Meter() = default;

	/// Reads the byte at @p address.
	void read(const std::byte *address);
	/// Writes the byte at @p address.
	void write(std::byte *address);
	/// Calls the function (a RET) at @p address.
	void execute(const std::byte *address);
	/// Makes a system call; throws std::system_error, with @p name, when it fails.
	void system_call(const std::string &name, long number, std::uint64_t first,
			 std::uint64_t second, std::uint64_t third);

    protected:
	/// Makes the access, which returns its instructions, and takes what it is to take of it.
	virtual void measure(const std::function<Instructions()> &access) = 0;

	explicit Meter(const ProbeOverhead &overhead) : overhead_(overhead)
	{
	}

    private:
	ProbeOverhead overhead_;
};

/// Counts instructions.
class InstructionMeter : public Meter
{
    public:
	/// @p after_timer_interrupt: start each access right behind a timer interrupt, so that an
	/// access of millions of instructions is over before the next one comes.
	InstructionMeter(const ProbeOverhead &overhead, bool after_timer_interrupt)
		: Meter(overhead), after_timer_interrupt_(after_timer_interrupt)
	{
	}

	/// The sample; the next one starts.
	Instructions take()
	{
		return std::exchange(sum_, 0);
	}

    private:
	void measure(const std::function<Instructions()> &access) override;

	bool after_timer_interrupt_;
	Instructions sum_ = 0;
};

/// Counts events.
class EventMeter : public Meter
{
    public:
	explicit EventMeter(const ProbeOverhead &overhead) : Meter(overhead)
	{
	}

	/// The sample; the next one starts.
	EventCounts take()
	{
		return std::exchange(sum_, {});
	}

    private:
	void measure(const std::function<Instructions()> &access) override;

	FaultEvents events_;
	EventCounts sum_;
};

/// How much a sample of a case costs, which decides how many are taken.
enum class Weight {
	light, ///< a base page or a page table at most
	heavy, ///< clears or copies a huge page: millions of instructions
};

using Sample = std::function<void(Meter &)>;

struct Case {
	std::string name;	 ///< backing/access/state, as in the selftest
	std::string description; ///< one sentence: what is measured
	Weight weight;
	/// Prepares what the samples share and returns the function that takes one. Both throw Skip
	/// where the machine or the kernel lacks something.
	std::function<Sample()> prepare;
};

/// The whole fault matrix, in the order of the report.
std::vector<Case> fault_cases();

/// Maps shared pages around the addresses that the cases use and touches them, so that page tables
/// are there before the first sample and stay after the last.
std::vector<FixedMapping> page_table_keepers();

} // namespace pvl
