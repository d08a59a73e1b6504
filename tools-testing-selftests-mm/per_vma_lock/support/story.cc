// SPDX-License-Identifier: GPL-2.0
#include "support/story.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>

#include "support/error.h"

namespace pvl
{

void PrintTo(const Story &story, std::ostream *out)
{
	*out << story.kind;
}

std::string story_name(const testing::TestParamInfo<Story> &info)
{
	std::string name = info.param.kind.substr(info.param.kind.find('/') + 1);
	std::replace(name.begin(), name.end(), '/', '_');
	return name;
}

void nothing(Memory & /*memory*/)
{
}

void read_unchanged(Memory &memory)
{
	EXPECT_EQ(load(memory.unit_at(0)), memory.initial_byte(0));
}

void cut_to_a_hole(Memory &memory)
{
	checked(::ftruncate(memory.fd(), 0), "ftruncate");
	checked(::ftruncate(memory.fd(), static_cast<off_t>(memory.map().size())), "ftruncate");
}

void punch_first_unit(Memory &memory)
{
	checked(::fallocate(memory.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			    static_cast<off_t>(memory.unit())),
		"FALLOC_FL_PUNCH_HOLE");
}

void expect_contents(Memory &memory, std::initializer_list<Change> changes)
{
	auto shadow = memory.shadow();
	const std::size_t bytes = shadow.size();

	for (const auto &[offset, value] : changes)
		shadow.at(offset) = value;
	const std::size_t at = first_difference(memory.map().data(), shadow.data(), bytes);
	ASSERT_EQ(at, bytes) << "byte " << at << " of " << bytes << " is "
			     << unsigned{memory.map().data()[at]} << ", should be "
			     << unsigned{shadow[at]};
	if (!is_shared(memory.backing())) {
		EXPECT_TRUE(memory.file_is_unchanged()) << "a private write reached the file";
	}
}

/// Calls a story's last step when it ends.
class Finish
{
    public:
	Finish(const Story &story, Memory &memory) : story_(story), memory_(memory)
	{
	}
	Finish(const Finish &) = delete;
	Finish &operator=(const Finish &) = delete;
	~Finish()
	{
		if (story_.finish)
			story_.finish(memory_);
	}

    private:
	const Story &story_;
	Memory &memory_;
};

// Programs that link the support code without any story are fine.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Stories);

TEST_P(Stories, DataIsRight)
{
	const Story &story = GetParam();
	Memory memory(story.backing, story.prot, story.units);
	const Finish finish(story, memory);

	story.before(memory);
	if (HasFailure())
		return;
	story.access(memory);
	if (!HasFailure())
		story.check(memory);
}

TEST_P(Stories, KeepsVmaLock)
{
	const Story &story = GetParam();
	LockCounter counter(story.counted);
	Memory memory(story.backing, story.prot, story.units);
	const Finish finish(story, memory);

	story.before(memory);
	if (HasFailure())
		return;
	const LockEvents seen = counter.measure([&] { story.access(memory); });
	if (!HasFailure())
		story.check(memory);
	if (!HasFailure())
		expect_cost(story.kind, story.cost, seen);
}

} // namespace pvl
