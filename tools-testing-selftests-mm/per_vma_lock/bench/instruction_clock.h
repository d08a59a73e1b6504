// SPDX-License-Identifier: GPL-2.0
//
// A clock that counts instructions: the time stamp counter of a QEMU guest
// started with -icount shift=0,sleep=off, where one tick is one instruction.
#pragma once

#include <cstdint>
#include <string>

namespace pvl
{

using Instructions = std::uint64_t;

/// The time stamp counter.
inline Instructions ticks_now()
{
	return __builtin_ia32_rdtsc();
}

/**
 * Reads one byte at @address.
 *
 * Returns the ticks between two readings of the time stamp counter with that
 * access between them; a page fault that the access takes is included. So are two
 * no-operations around the access, whose displacements tell an observer in QEMU
 * (a TCG plugin) where the measured window starts and ends.
 */
inline Instructions ticks_of_read(const void *address)
{
	Instructions start = 0;
	Instructions end = 0;

	asm volatile("rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     "mov %%rax, %[start]\n\t"
		     "nopl 0x41564d01(%%rax)\n\t"
		     "movb (%[address]), %%cl\n\t"
		     "nopl 0x41564d02(%%rax)\n\t"
		     "rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     : [start] "=&r"(start), "=&a"(end)
		     : [address] "r"(address)
		     : "rdx", "rcx", "memory", "cc");
	return end - start;
}

/// Like ticks_of_read(), but writes the byte 1 to @address.
inline Instructions ticks_of_write(void *address)
{
	Instructions start = 0;
	Instructions end = 0;

	asm volatile("rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     "mov %%rax, %[start]\n\t"
		     "nopl 0x41564d01(%%rax)\n\t"
		     "movb $1, (%[address])\n\t"
		     "nopl 0x41564d02(%%rax)\n\t"
		     "rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     : [start] "=&r"(start), "=&a"(end)
		     : [address] "r"(address)
		     : "rdx", "memory", "cc");
	return end - start;
}

/// Like ticks_of_read(), but calls @address, which must hold a RET.
inline Instructions ticks_of_call(const void *address)
{
	Instructions start = 0;
	Instructions end = 0;

	// The red zone below the stack pointer is not ours to overwrite.
	asm volatile("sub $128, %%rsp\n\t"
		     "rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     "mov %%rax, %[start]\n\t"
		     "nopl 0x41564d01(%%rax)\n\t"
		     "call *%[address]\n\t"
		     "nopl 0x41564d02(%%rax)\n\t"
		     "rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     "add $128, %%rsp\n\t"
		     : [start] "=&r"(start), "=&a"(end)
		     : [address] "r"(address)
		     : "rdx", "memory", "cc");
	return end - start;
}

/// What a system call returned (negative: -errno) and the ticks that it took.
struct TimedSyscall {
	long result;
	Instructions ticks;
};

/// Makes system call @number with three arguments; see ticks_of_read().
inline TimedSyscall ticks_of_syscall(long number, std::uint64_t first, std::uint64_t second,
				     std::uint64_t third)
{
	Instructions start = 0;
	Instructions end = 0;
	long result = 0;

	asm volatile("rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     "mov %%rax, %[start]\n\t"
		     "mov %[number], %%rax\n\t"
		     "mov %[third], %%rdx\n\t"
		     "nopl 0x41564d01(%%rax)\n\t"
		     "syscall\n\t"
		     "nopl 0x41564d02(%%rax)\n\t"
		     "mov %%rax, %[result]\n\t"
		     "rdtsc\n\t"
		     "shl $32, %%rdx\n\t"
		     "or %%rdx, %%rax\n\t"
		     : [start] "=&r"(start), [result] "=&r"(result), "=&a"(end)
		     : [number] "r"(number), [third] "r"(third), "D"(first), "S"(second)
		     : "rcx", "rdx", "r11", "memory", "cc");
	return {result, end - start};
}

/// What the clock itself costs: ticks of each probe where no fault happens.
struct ProbeOverhead {
	Instructions read;
	Instructions write;
	Instructions call;
};

/// What the calibration found.
struct ClockCheck {
	bool counts_instructions; ///< false: no figure of this clock may be reported
	std::string reason;	  ///< why not, empty when it does
	ProbeOverhead overhead;
};

/**
 * Times loops of known length and checks that the clock counted their
 * instructions, every one and nothing else.
 */
ClockCheck check_instruction_clock();

/**
 * Waits until the next timer interrupt has been served, so that none falls into
 * the milliseconds that follow. Gives up after some 100 million ticks.
 */
void wait_for_timer_interrupt();

} // namespace pvl
