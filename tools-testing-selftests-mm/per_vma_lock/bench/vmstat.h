// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>

namespace pvl
{

/// The vma_lock_* counters of /proc/vmstat (CONFIG_PER_VMA_LOCK_STATS) at construction. They are of
/// the whole system. Empty where the kernel has none.
class VmStat
{
    public:
	VmStat()
	{
		std::ifstream file("/proc/vmstat");
		std::string name;
		std::uint64_t value = 0;

		while (file >> name >> value)
			if (name.starts_with("vma_lock_"))
				counters_[name] = value;
	}

	[[nodiscard]] const std::map<std::string, std::uint64_t> &counters() const noexcept
	{
		return counters_;
	}

    private:
	std::map<std::string, std::uint64_t> counters_;
};

/// What was counted between two readings, as further members of a JSON object: ,"name":count...
inline std::string vma_lock_members(const VmStat &before, const VmStat &after)
{
	std::string text;

	for (const auto &[name, value] : after.counters())
		text += ",\"" + name + "\":" + std::to_string(value - before.counters().at(name));
	return text;
}

} // namespace pvl
