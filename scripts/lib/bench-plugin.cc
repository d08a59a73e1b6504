// SPDX-License-Identifier: GPL-2.0
//
// TCG plugin for QEMU: which instructions the guest executed between the two
// marker no-operations that fault_cost places around a measured access.
//
//   qemu-system-x86_64 -icount shift=0 -plugin bench-plugin.so,out=FILE …
//
// At exit, FILE has a line for each instruction executed in the shortest window (the
// one that no interrupt fell into): its address in 16 hexadecimal digits and how often.
//
// The declarations below are those of version 1 of QEMU's documented plugin
// interface (docs/devel/tcg-plugins.rst), whose header distributions do not package.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <numeric>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

extern "C" {
struct qemu_plugin_tb;
struct qemu_plugin_insn;
using qemu_plugin_id_t = std::uint64_t;

[[gnu::visibility("default")]] extern int qemu_plugin_version;
int qemu_plugin_version = 1;

std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *block);
qemu_plugin_insn *qemu_plugin_tb_get_insn(const qemu_plugin_tb *block, std::size_t index);
const void *qemu_plugin_insn_data(const qemu_plugin_insn *instruction);
std::size_t qemu_plugin_insn_size(const qemu_plugin_insn *instruction);
std::uint64_t qemu_plugin_insn_vaddr(const qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t plugin,
					   void (*translated)(qemu_plugin_id_t, qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_insn *instruction,
					    void (*executed)(unsigned int, void *), int flags,
					    void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_insn *instruction, int operation,
						void *counter, std::uint64_t addend);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t plugin,
				    void (*exiting)(qemu_plugin_id_t, void *), void *data);
[[gnu::visibility("default")]] int qemu_plugin_install(qemu_plugin_id_t plugin, const void *info,
						       int argc, char **argv);
}

namespace
{

constexpr int no_registers = 0;
constexpr int inline_add = 0;

/** Both markers without their last displacement bytes: nopl disp32(%rax). */
constexpr std::size_t marker_bytes = 7;
constexpr unsigned char start_marker[marker_bytes] = {0x0f, 0x1f, 0x80, 0x01, 0x4d, 0x56, 0x41};
constexpr unsigned char stop_marker[marker_bytes] = {0x0f, 0x1f, 0x80, 0x02, 0x4d, 0x56, 0x41};

struct Executions {
	std::uint64_t address;
	std::uint64_t count;
};

/** Windows below that saw no fault: the calibration of the probes. */
constexpr std::uint64_t least_of_a_fault = 100;

struct Window {
	std::uint64_t instructions = UINT64_MAX;
	std::vector<Executions> executions;
};

struct State {
	/** How often each instruction ran since the last start marker; never moved. */
	std::deque<Executions> current;
	std::unordered_map<std::uint64_t, Executions *> by_address;
	Window shortest;
	std::uint64_t windows = 0;
	std::string output;
};

/** Never destroyed: QEMU calls back after the destructors of static objects have run. */
State &state()
{
	static State &only = *new State;
	return only;
}

void window_starts(unsigned int, void *)
{
	for (Executions &executions : state().current)
		executions.count = 0;
}

void window_stops(unsigned int, void *)
{
	const std::deque<Executions> &current = state().current;
	Window &shortest = state().shortest;
	const std::uint64_t sum =
		std::accumulate(current.begin(), current.end(), std::uint64_t{0},
				[](std::uint64_t total, const Executions &executions) {
					return total + executions.count;
				});

	state().windows++;
	if (sum < least_of_a_fault || sum >= shortest.instructions)
		return;
	shortest.instructions = sum;
	shortest.executions.clear();
	std::copy_if(current.begin(), current.end(), std::back_inserter(shortest.executions),
		     [](const Executions &executions) { return executions.count != 0; });
}

void block_translated(qemu_plugin_id_t, qemu_plugin_tb *block)
{
	for (std::size_t index = 0; index < qemu_plugin_tb_n_insns(block); index++) {
		qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
		const void *code = qemu_plugin_insn_data(instruction);
		const std::uint64_t address = qemu_plugin_insn_vaddr(instruction);

		if (qemu_plugin_insn_size(instruction) == marker_bytes) {
			if (std::memcmp(code, start_marker, marker_bytes) == 0)
				qemu_plugin_register_vcpu_insn_exec_cb(instruction, window_starts,
								       no_registers, nullptr);
			else if (std::memcmp(code, stop_marker, marker_bytes) == 0)
				qemu_plugin_register_vcpu_insn_exec_cb(instruction, window_stops,
								       no_registers, nullptr);
		}

		Executions *&executions = state().by_address[address];
		if (!executions)
			executions = &state().current.emplace_back(Executions{address, 0});
		qemu_plugin_register_vcpu_insn_exec_inline(instruction, inline_add,
							   &executions->count, 1);
	}
}

void write_shortest_window(qemu_plugin_id_t, void *)
{
	std::FILE *file = std::fopen(state().output.c_str(), "w");

	if (!file) {
		std::perror(state().output.c_str());
		return;
	}
	for (const auto &executions : state().shortest.executions)
		std::fprintf(file, "%016llx %llu\n",
			     static_cast<unsigned long long>(executions.address),
			     static_cast<unsigned long long>(executions.count));
	std::fclose(file);
	std::fprintf(stderr, "bench-plugin: %llu windows\n",
		     static_cast<unsigned long long>(state().windows));
}

} // namespace

int qemu_plugin_install(qemu_plugin_id_t plugin, const void *, int argc, char **argv)
{
	constexpr std::string_view option = "out=";

	for (int index = 0; index < argc; index++)
		if (std::string_view(argv[index]).starts_with(option))
			state().output = argv[index] + option.size();
	if (state().output.empty()) {
		std::fputs("bench-plugin: needs out=FILE\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(plugin, block_translated);
	qemu_plugin_register_atexit_cb(plugin, write_shortest_window, nullptr);
	return 0;
}
