// SPDX-License-Identifier: GPL-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pvl
{

/// @p text as a JSON string; control characters become spaces.
inline std::string json(const std::string &text)
{
	std::string quoted = "\"";

	for (const char character : text) {
		if (character == '"' || character == '\\')
			quoted += '\\';
		quoted += character >= 0 && character < ' ' ? ' ' : character;
	}
	return quoted + '"';
}

/// The number, or null.
inline std::string json(const std::optional<std::uint64_t> &number)
{
	return number ? std::to_string(*number) : "null";
}

} // namespace pvl
