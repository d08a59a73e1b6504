// SPDX-License-Identifier: GPL-2.0
#include "support/session.h"

#include <unistd.h>

#include <fstream>
#include <sstream>

namespace pvl
{

Session &session() noexcept
{
	static Session the_session;
	return the_session;
}

bool kernel_has_symbol(const std::string &symbol, const std::string &kallsyms)
{
	std::ifstream file(kallsyms);
	std::string line;

	while (std::getline(file, line)) {
		// "ffffffff81000000 t name" or "... t name [module]"
		std::istringstream words(line);
		std::string address;
		std::string type;
		std::string name;
		if (line.find(symbol) != std::string::npos && (words >> address >> type >> name) &&
		    name == symbol && (type == "t" || type == "T"))
			return true;
	}
	return false;
}

bool is_root() noexcept
{
	return ::geteuid() == 0;
}

} // namespace pvl
