// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <filesystem>

namespace pvl
{

/// File systems for the tests' files, for the life of the run.
///
/// As root they are mounted in a mount namespace of this process's own, so that they disappear with
/// the last test process, whatever happens to it; tracefs is mounted there too where it is missing.
/// An ordinary user gets no tmpfs and hugetlbfs directories, and the tests that need them skip.
class Scratch
{
    public:
	/// Sets the session's directories. Throws std::system_error when no directory can be made,
	/// UsageError when --disk names none that will do.
	Scratch();
	Scratch(const Scratch &) = delete;
	Scratch &operator=(const Scratch &) = delete;
	~Scratch();

    private:
	std::filesystem::path top_;
	bool mounted_ = false;
};

} // namespace pvl
