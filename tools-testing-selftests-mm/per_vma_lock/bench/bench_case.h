// SPDX-License-Identifier: GPL-2.0
//
// A benchmark case: one kind of fault, taken again and again in the same state.
#pragma once

#include "event_counters.h"
#include "instruction_clock.h"
#include "resources.h"

#include <functional>
#include <stdexcept>
#include <optional>
#include <string>
#include <vector>

namespace per_vma_lock
{

/** Thrown by a case that this kernel or machine cannot run; what() says why. */
class CannotRun : public std::runtime_error {
	using std::runtime_error::runtime_error;
};

/**
 * Takes the measured accesses of one sample.
 *
 * Where a case makes several accesses through the meter, the sample is their sum.
 */
class Meter {
    public:
	enum class Counts { instructions, events };

	Meter(const ProbeOverhead &overhead, Counts counts, bool after_timer_interrupt)
		: overhead_(overhead),
		  counts_(counts),
		  after_timer_interrupt_(after_timer_interrupt)
	{
		if (counts == Counts::events)
			events_.emplace();
	}

	/** Reads the byte at @address. */
	void read(const std::byte *address);
	/** Writes the byte at @address. */
	void write(std::byte *address);
	/** Calls the function (a RET) at @address. */
	void execute(const std::byte *address);
	/** Makes a system call; throws std::system_error when it fails. */
	void system_call(const std::string &name, long number, std::uint64_t first,
			 std::uint64_t second, std::uint64_t third);

	/** Instructions of the sample; starts the next one. */
	Instructions take_instructions();
	/** Counts of FaultEvents::names() in the sample; starts the next one. */
	std::vector<std::optional<std::uint64_t>> take_events();

	/** The counters, where this meter counts events. */
	const std::optional<FaultEvents> &events() const
	{
		return events_;
	}

    private:
	template <typename Access> void measure(Access access);

	ProbeOverhead overhead_;
	Counts counts_;
	bool after_timer_interrupt_;
	Instructions instructions_ = 0;
	std::optional<FaultEvents> events_;
	std::vector<std::optional<std::uint64_t>> seen_;
};

/** How much a sample of the case costs, which decides how many are taken. */
enum class Weight {
	light,	///< a 4 KiB page or a page table at most
	heavy,	///< clears or copies a huge page: millions of instructions
};

struct Case {
	std::string name;	  ///< backing/access/state, as in the selftest
	std::string description; ///< one sentence: what is measured
	Weight weight;
	/** Prepares state shared by the samples and returns the function that takes one. */
	std::function<std::function<void(Meter &)>()> prepare;
};

/** The whole fault matrix, in the order of the report. */
std::vector<Case> fault_cases();

/**
 * Maps shared pages around the addresses that the cases use and touches them, so
 * that page tables are there before the first sample and stay after the last.
 */
std::vector<Mapping> page_table_keepers();

} // namespace per_vma_lock
