// SPDX-License-Identifier: GPL-2.0
#include "ballast.h"

#include <sys/mman.h>

#include <latch>
#include <optional>
#include <thread>
#include <vector>

#include "fixed_mapping.h"
#include "support/error.h"

namespace pvl
{

struct Ballast::Parts {
	std::optional<FixedMapping> area;
	std::latch end{1};
	std::vector<std::jthread> sleepers;
};

Ballast::Ballast(unsigned int vmas, unsigned int threads) : parts_(std::make_unique<Parts>())
{
	auto *const address = reinterpret_cast<std::byte *>(0x200000000000);

	if (vmas > 0) {
		parts_->area.emplace(address, vmas * base_page_bytes, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, Fd());
		// Every second page differs from its neighbours, so each is a VMA of its own.
		for (unsigned int page = 1; page < vmas; page += 2)
			checked(::mprotect(parts_->area->page(page), base_page_bytes, PROT_READ),
				"mprotect (vm.max_map_count?)");
	}
	for (unsigned int thread = 1; thread < threads; thread++)
		parts_->sleepers.emplace_back([this] { parts_->end.wait(); });
}

Ballast::~Ballast()
{
	parts_->end.count_down();
}

} // namespace pvl
