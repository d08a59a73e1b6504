// SPDX-License-Identifier: GPL-2.0
#include "support/fuzz_model.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <stdexcept>

#include "support/error.h"
#include "support/signals.h"
#include "support/uapi.h"
#include "support/userfault.h"

namespace pvl
{

namespace
{

constexpr int read_write = PROT_READ | PROT_WRITE;

constexpr std::array<const char *, action_count> action_names{
	"map",
	"unmap",
	"read",
	"write",
	"write_by_syscall",
	"write_by_gup",
	"dontneed",
	"populate_read",
	"populate_write",
	"pageout",
	"collapse",
	"flip_huge",
	"read_only",
	"split",
	"move",
	"fork",
	"guard",
	"fill_by_uffd",
	"lie",
};

// Kinds of memory whose content after MADV_DONTNEED is known, and that need no file system.
constexpr std::array backings{
	Backing::anon,
	Backing::anon,
	Backing::memfd_private,
	Backing::memfd_shared,
	Backing::shared_anon,
	Backing::thp,
	Backing::hugetlb_private,
	Backing::hugetlb_memfd_shared,
};

std::uint32_t number(std::string_view text, const std::string &whole)
{
	std::uint32_t value = 0;
	const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
	if (text.empty() || error != std::errc() || stop != text.data() + text.size())
		throw std::invalid_argument("not an operation: '" + whole + "'");
	return value;
}

} // namespace

std::string to_text(const Operation &operation)
{
	return std::string(action_names.at(static_cast<std::size_t>(operation.action))) + ':' +
	       std::to_string(operation.slot) + ':' + std::to_string(operation.place) + ':' +
	       std::to_string(operation.value);
}

Operation parse_operation(const std::string &text)
{
	std::vector<std::string> words;
	std::istringstream parts(text);
	for (std::string word; std::getline(parts, word, ':');)
		words.push_back(word);
	if (words.size() != 4)
		throw std::invalid_argument("not an operation: '" + text + "'");
	const auto *const name = std::find(action_names.begin(), action_names.end(), words[0]);
	if (name == action_names.end())
		throw std::invalid_argument("not an operation: '" + text + "'");

	Operation operation;
	operation.action = static_cast<Action>(name - action_names.begin());
	operation.slot = number(words[1], text);
	operation.place = number(words[2], text);
	operation.value = static_cast<std::uint8_t>(number(words[3], text));
	return operation;
}

std::string to_text(const std::vector<Operation> &operations)
{
	std::string text;
	for (const Operation &operation : operations)
		text += (text.empty() ? "" : ",") + to_text(operation);
	return text;
}

std::vector<Operation> parse_operations(const std::string &text)
{
	std::vector<Operation> operations;
	std::istringstream parts(text);
	for (std::string part; std::getline(parts, part, ',');)
		operations.push_back(parse_operation(part));
	return operations;
}

Operation random_operation(Random &random)
{
	constexpr std::size_t largest_place = std::size_t{4} << 20;
	Operation operation;

	// Half of all operations are plain reads and writes: faults are what it is about.
	if (random.one_in(2))
		operation.action = random.one_in(3) ? Action::read : Action::write;
	else
		operation.action = static_cast<Action>(random.below(action_count - 1));
	operation.slot = static_cast<std::uint32_t>(random.below(FuzzWorld::slot_count));
	operation.place = static_cast<std::uint32_t>(random.below(largest_place));
	operation.value = random.byte();
	return operation;
}

/// One memory and what has to be in it.
struct FuzzWorld::Slot {
	Memory memory;
	std::uint8_t *data; ///< where the memory is now
	std::size_t bytes;
	std::vector<std::uint8_t> shadow;
	Mapping moved_to; ///< keeps the place that it was moved to

	explicit Slot(Backing backing)
		: memory(backing, read_write,
			 is_hugetlb(backing) || backing == Backing::thp ? 1 : 8),
		  data(memory.map().data()), bytes(memory.map().size()), shadow(memory.shadow())
	{
	}

	[[nodiscard]] bool huge() const
	{
		return is_hugetlb(memory.backing());
	}

	/// Start of the unit of permissions and advice that @p place is in: a page.
	[[nodiscard]] std::size_t page_of(std::size_t place) const
	{
		const std::size_t unit = huge() ? memory.unit() : page_bytes();
		return place / unit * unit;
	}

	[[nodiscard]] std::size_t page_size() const
	{
		return huge() ? memory.unit() : page_bytes();
	}

	void protect(std::size_t page, int prot) const
	{
		checked(::mprotect(data + page, page_size(), prot), "mprotect");
	}

	/// What is wrong with @p count bytes at @p from, or nothing.
	[[nodiscard]] std::optional<std::string> difference(std::size_t from,
							    std::size_t count) const
	{
		const std::size_t at = first_difference(data + from, shadow.data() + from, count);
		if (at == count)
			return std::nullopt;
		std::ostringstream text;
		text << name_of(memory.backing()) << " byte " << from + at << " is "
		     << unsigned{data[from + at]} << ", should be " << unsigned{shadow[from + at]};
		return text.str();
	}

	/// A private memory's dropped page is that of the file again, or zero; a shared one's
	/// stays.
	void forget_page(std::size_t page)
	{
		if (is_shared(memory.backing()))
			return;
		for (std::size_t i = page; i < page + page_size(); i++)
			shadow[i] = memory.initial_byte(i);
	}

	void drop_page(std::size_t page)
	{
		if (::madvise(data + page, page_size(), MADV_DONTNEED) == 0)
			forget_page(page);
	}

	std::optional<std::string> write_must_fail(std::size_t place, const char *why) const
	{
		std::uint8_t *target = data + place;
		const auto signal = signal_of([=] { store(target, 1); });
		if (!signal)
			return name_of(memory.backing()) + ": a write succeeded in spite of " + why;
		if (signal->number != SIGSEGV || !signal->in_page_of(target))
			return name_of(memory.backing()) + ": wrong signal for a write to " + why;
		return std::nullopt;
	}

	std::optional<std::string> read_only(std::size_t page, std::size_t place) const
	{
		protect(page, PROT_READ);
		auto wrong = write_must_fail(place, "read-only memory");
		protect(page, read_write);
		return wrong;
	}

	std::optional<std::string> guard(std::size_t page, std::size_t place)
	{
		if (huge() || ::madvise(data + page, page_size(), uapi::madv_guard_install) != 0)
			return std::nullopt;
		auto wrong = write_must_fail(place, "a guard region");
		if (::madvise(data + page, page_size(), uapi::madv_guard_remove) != 0)
			throw_errno("MADV_GUARD_REMOVE");
		forget_page(page);
		return wrong;
	}

	void move()
	{
		if (huge())
			return;
		MapRequest request;
		request.bytes = bytes;
		request.prot = PROT_NONE;
		request.alignment = memory.unit();
		Mapping target(request);
		void *to =
			::mremap(data, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target.data());
		if (to == MAP_FAILED) { // more than one VMA: Linux 6.12 unmaps the target first
			target.leave_hole();
			return;
		}
		(moved_to.data() != nullptr ? moved_to : memory.map()).leave_hole();
		data = static_cast<std::uint8_t *>(to);
		moved_to = std::move(target);
	}

	std::optional<std::string> fork(std::size_t place, std::uint8_t value) const
	{
		const pid_t pid = ::fork();
		if (pid < 0)
			return std::nullopt;
		if (pid == 0) {
			// Shared memory must not change under the parent's model.
			bool good = data[place] == shadow[place];
			if (!is_shared(memory.backing()) && !huge()) {
				store(data + place, value);
				good = good && load(data + place) == value;
			}
			::_exit(good ? 0 : 1);
		}
		int status = 0;
		while (::waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (status != 0)
			return name_of(memory.backing()) + ": a forked child saw wrong data";
		return std::nullopt;
	}

	void fill_by_uffd(std::size_t page, std::uint8_t value)
	{
		if (is_shared(memory.backing()))
			return;
		const Userfault uffd;
		const std::vector<std::uint8_t> source(page_size(), value);
		uffd.watch(data + page, page_size(), UFFDIO_REGISTER_MODE_MISSING);
		drop_page(page);
		if (uffd.copy(data + page, source.data(), page_size()) == 0)
			std::copy(source.begin(), source.end(),
				  shadow.begin() + static_cast<std::ptrdiff_t>(page));
		static_cast<void>(uffd.unwatch(data + page, page_size()));
	}
};

FuzzWorld::FuzzWorld(bool hugetlb) : hugetlb_(hugetlb), slots_(slot_count)
{
	std::array<int, 2> ends{};
	checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
	pipe_read_ = Fd(ends[0]);
	pipe_write_ = Fd(ends[1]);
}

FuzzWorld::~FuzzWorld() = default;

std::optional<std::string> FuzzWorld::apply(const Operation &operation)
{
	std::unique_ptr<Slot> &slot = slots_.at(operation.slot % slot_count);
	const std::uint8_t value = operation.value;

	try {
		if (operation.action == Action::map || !slot) {
			const Backing backing = backings.at(value % backings.size());
			slot = nullptr;
			if (hugetlb_ || !is_hugetlb(backing))
				slot = std::make_unique<Slot>(backing);
			return std::nullopt;
		}
		const std::size_t place = operation.place % slot->bytes;
		const std::size_t page = slot->page_of(place);
		std::uint8_t *target = slot->data + place;
		const iovec local{const_cast<std::uint8_t *>(&value), 1};
		const iovec remote{target, 1};
		const auto advise = [&](int advice) {
			static_cast<void>(::madvise(slot->data + page, slot->page_size(), advice));
		};

		switch (operation.action) {
		case Action::map:
			break;
		case Action::unmap: {
			auto wrong = slot->difference(0, slot->bytes);
			slot = nullptr;
			return wrong;
		}
		case Action::read:
			return slot->difference(page, slot->page_size());
		case Action::write:
			store(target, value);
			slot->shadow[place] = value;
			break;
		case Action::write_by_syscall:
			checked(::write(pipe_write_.get(), &value, 1), "write to a pipe");
			if (::read(pipe_read_.get(), target, 1) != 1)
				return "read(2) into user memory failed";
			slot->shadow[place] = value;
			break;
		case Action::write_by_gup:
			if (::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0) == 1)
				slot->shadow[place] = value;
			break;
		case Action::dontneed:
			slot->drop_page(page);
			break;
		case Action::populate_read:
			advise(uapi::madv_populate_read);
			break;
		case Action::populate_write:
			advise(uapi::madv_populate_write);
			break;
		case Action::pageout:
			advise(uapi::madv_pageout);
			break;
		case Action::collapse:
			static_cast<void>(::madvise(slot->data, slot->bytes, uapi::madv_collapse));
			break;
		case Action::flip_huge:
			advise(value % 2 != 0 ? uapi::madv_hugepage : uapi::madv_nohugepage);
			break;
		case Action::read_only:
			return slot->read_only(page, place);
		case Action::split:
			slot->protect(page, read_write | PROT_EXEC);
			break;
		case Action::move:
			slot->move();
			break;
		case Action::fork:
			return slot->fork(place, value);
		case Action::guard:
			return slot->guard(page, place);
		case Action::fill_by_uffd:
			slot->fill_by_uffd(page, value);
			break;
		case Action::lie:
			store(target, static_cast<std::uint8_t>(slot->shadow[place] + 1));
			break;
		}
	} catch (const Skip &) { // not on this machine
	}
	return std::nullopt;
}

std::optional<std::string> FuzzWorld::check_all()
{
	for (const auto &slot : slots_)
		if (slot)
			if (auto wrong = slot->difference(0, slot->bytes))
				return wrong;
	return std::nullopt;
}

std::vector<Operation> minimal(std::vector<Operation> operations,
			       const std::function<bool(const std::vector<Operation> &)> &fails)
{
	std::size_t chunk = operations.size() / 2;

	while (chunk != 0) {
		bool removed = false;
		for (std::size_t at = 0; at < operations.size();) {
			std::vector<Operation> rest = operations;
			const auto first = rest.begin() + static_cast<std::ptrdiff_t>(at);
			const std::size_t count = std::min(chunk, rest.size() - at);
			rest.erase(first, first + static_cast<std::ptrdiff_t>(count));
			if (fails(rest)) {
				operations = std::move(rest);
				removed = true;
			} else {
				at += chunk;
			}
		}
		if (!removed)
			chunk /= 2;
	}
	return operations;
}

} // namespace pvl
