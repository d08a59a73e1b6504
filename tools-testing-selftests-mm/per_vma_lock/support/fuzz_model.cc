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
#include <cstring>
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
	"move_and_keep",
	"fork",
	"guard",
	"fill_by_uffd",
	"zero_by_uffd",
	"free",
	"lock",
	"flip_zero_page",
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
	Backing::hugetlb_memfd_private,
	Backing::hugetlb_memfd_shared,
};

/// Whether a system call that returned @p result succeeded. Throws Skip where this kernel does not
/// have @p what, or this user may not.
bool succeeded(long result, const char *what)
{
	if (result >= 0)
		return true;
	if (errno == ENOSYS || errno == EPERM)
		throw Skip(std::string(what) + ": " + std::strerror(errno));
	return false;
}

/// MADV_GUARD_INSTALL in plain memory of its own, which every kernel that has it allows.
bool has_guards()
{
	const Memory memory(Backing::anon, read_write, 1);
	return ::madvise(memory.unit_at(0), memory.unit(), uapi::madv_guard_install) == 0;
}

std::uint32_t number(std::string_view text, const std::string &whole)
{
	std::uint32_t value = 0;
	const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
	if (text.empty() || error != std::errc() || stop != text.data() + text.size())
		throw std::invalid_argument("not an operation: '" + whole + "'");
	return value;
}

} // namespace

std::string name_of(Action action)
{
	return action_names.at(static_cast<std::size_t>(action));
}

Tally &Tally::operator+=(const Tally &other)
{
	done += other.done;
	refused += other.refused;
	skipped += other.skipped;
	if (why.empty())
		why = other.why;
	return *this;
}

std::string to_text(const Operation &operation)
{
	return name_of(operation.action) + ':' + std::to_string(operation.slot) + ':' +
	       std::to_string(operation.place) + ':' + std::to_string(operation.value);
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

std::vector<Operation> every_operation()
{
	constexpr std::uint32_t place = 70001; // bytes: in the middle of a page
	constexpr std::uint8_t odd = 0x5b;     // locks and enables where even values do not
	std::vector<Operation> operations;
	for (std::size_t backing = 0; backing < backings.size(); backing++) {
		const Operation map{Action::map, 0, 0, static_cast<std::uint8_t>(backing)};
		operations.push_back(map);
		for (auto i = static_cast<std::size_t>(Action::read); i < action_count - 1; i++) {
			const auto action = static_cast<Action>(i);
			// What needs one VMA.
			if (action == Action::collapse || action == Action::move ||
			    action == Action::move_and_keep) {
				operations.push_back({Action::unmap, 0, 0, 0});
				operations.push_back(map);
				operations.push_back({Action::write, 0, place, odd});
			}
			operations.push_back({action, 0, place, odd});
		}
		operations.push_back({Action::unmap, 0, 0, 0});
	}
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

	/// Lets it be one VMA again, as far as VMAs merge, that may have huge pages. What fails
	/// is left as it was.
	void unite() const
	{
		static_cast<void>(::munlock(data, bytes));
		static_cast<void>(::mprotect(data, bytes, read_write));
		static_cast<void>(::madvise(data, bytes, uapi::madv_hugepage));
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

	[[nodiscard]] bool advise(std::size_t page, int advice) const
	{
		return succeeded(::madvise(data + page, page_size(), advice), "madvise");
	}

	bool drop_page(std::size_t page)
	{
		const bool done = advise(page, MADV_DONTNEED);
		if (done)
			forget_page(page);
		return done;
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

	Result read_only(std::size_t page, std::size_t place) const
	{
		protect(page, PROT_READ);
		auto wrong = write_must_fail(place, "read-only memory");
		protect(page, read_write);
		return {true, wrong};
	}

	Result guard(std::size_t page, std::size_t place)
	{
		static const bool supported = has_guards();
		if (!supported)
			throw Skip("no guard regions");
		if (huge() || !advise(page, uapi::madv_guard_install))
			return {false};
		auto wrong = write_must_fail(place, "a guard region");
		if (::madvise(data + page, page_size(), uapi::madv_guard_remove) != 0)
			throw_errno("MADV_GUARD_REMOVE");
		forget_page(page);
		return {true, wrong};
	}

	// Moves it; with MREMAP_DONTUNMAP in @p flags the place that it leaves is mapped, too, and
	// without anon_vma: as it was made, and writable.
	Result move(int flags, std::size_t place, std::uint8_t value)
	{
		if (huge())
			return {false};
		MapRequest request;
		request.bytes = bytes;
		request.prot = PROT_NONE;
		request.alignment = memory.unit();
		Mapping target(request);
		void *to = ::mremap(data, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
				    target.data());
		if (to == MAP_FAILED) { // more than one VMA: Linux 6.12 unmaps the target first
			target.leave_hole();
			return {false};
		}
		std::optional<std::string> wrong;
		if (flags == 0)
			(moved_to.data() != nullptr ? moved_to : memory.map()).leave_hole();
		else if (!is_shared(memory.backing())) {
			const bool fresh = load(data + place) == memory.initial_byte(place);
			store(data + place, value);
			if (!fresh || load(data + place) != value)
				wrong = name_of(memory.backing()) +
					": what MREMAP_DONTUNMAP left is wrong";
		}
		data = static_cast<std::uint8_t *>(to);
		moved_to = std::move(target);
		return {true, wrong};
	}

	Result fork(std::size_t place, std::uint8_t value) const
	{
		const pid_t pid = ::fork();
		if (pid < 0)
			return {false};
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
			return {true,
				name_of(memory.backing()) + ": a forked child saw wrong data"};
		return {};
	}

	// UFFDIO_COPY of @p value, or UFFDIO_ZEROPAGE without.
	Result fill_by_uffd(std::size_t page, std::optional<std::uint8_t> value)
	{
		if (is_shared(memory.backing()) || (huge() && !value))
			return {false};
		const Userfault uffd;
		const std::vector<std::uint8_t> source(page_size(), value.value_or(0));
		std::uint8_t *target = data + page;
		uffd.watch(target, page_size(), UFFDIO_REGISTER_MODE_MISSING);
		const bool dropped = drop_page(page); // not when it is locked
		const int error = value ? uffd.copy(target, source.data(), page_size())
					: uffd.zeropage(target, page_size());
		if (error == 0)
			std::copy(source.begin(), source.end(),
				  shadow.begin() + static_cast<std::ptrdiff_t>(page));
		static_cast<void>(uffd.unwatch(target, page_size()));
		const bool excused = error == ENOMEM || error == EAGAIN;
		if (dropped && error != 0 && !excused)
			return {false, name_of(memory.backing()) +
					       ": userfaultfd: " + std::strerror(error)};
		return {error == 0};
	}

	Result free(std::size_t page, std::size_t place, std::uint8_t value)
	{
		if (!advise(page, uapi::madv_free))
			return {false};	    // not anonymous
		store(data + place, value); // it is decided now whether the page stays
		shadow[place] = value;
		if (!difference(page, page_size()))
			return {};
		forget_page(page);
		shadow[place] = value;
		return {true, difference(page, page_size())};
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
	const bool maps = !slots_.at(operation.slot % slot_count);
	const Action action = maps ? Action::map : operation.action;
	Tally &tally = tallies_.at(static_cast<std::size_t>(action));

	try {
		Result result = carry_out(operation);
		(result.done ? tally.done : tally.refused)++;
		return std::move(result.wrong);
	} catch (const Skip &skip) { // not on this machine
		tally.skipped++;
		tally.why = skip.what();
		return std::nullopt;
	}
}

FuzzWorld::Result FuzzWorld::carry_out(const Operation &operation)
{
	std::unique_ptr<Slot> &slot = slots_.at(operation.slot % slot_count);
	const std::uint8_t value = operation.value;

	if (operation.action == Action::map || !slot) {
		const Backing backing = backings.at(value % backings.size());
		slot = nullptr;
		if (is_hugetlb(backing) && !hugetlb_)
			throw Skip("not enough huge pages");
		slot = std::make_unique<Slot>(backing);
		return {};
	}
	const std::size_t place = operation.place % slot->bytes;
	const std::size_t page = slot->page_of(place);
	const bool odd = value % 2 != 0;
	std::uint8_t *target = slot->data + place;
	const iovec local{const_cast<std::uint8_t *>(&value), 1};
	const iovec remote{target, 1};

	switch (operation.action) {
	case Action::map:
		break;
	case Action::unmap: {
		auto wrong = slot->difference(0, slot->bytes);
		slot = nullptr;
		return {true, wrong};
	}
	case Action::read:
		return {true, slot->difference(page, slot->page_size())};
	case Action::write:
		store(target, value);
		slot->shadow[place] = value;
		break;
	case Action::write_by_syscall:
		checked(::write(pipe_write_.get(), &value, 1), "write to a pipe");
		if (::read(pipe_read_.get(), target, 1) != 1)
			return {false, "read(2) into user memory failed"};
		slot->shadow[place] = value;
		break;
	case Action::write_by_gup:
		if (!succeeded(::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0),
			       "process_vm_writev"))
			return {false, "process_vm_writev(2) into user memory failed"};
		slot->shadow[place] = value;
		break;
	case Action::dontneed:
		return {slot->drop_page(page)};
	case Action::populate_read:
		return {slot->advise(page, uapi::madv_populate_read)};
	case Action::populate_write:
		return {slot->advise(page, uapi::madv_populate_write)};
	case Action::pageout:
		return {slot->advise(page, uapi::madv_pageout)};
	case Action::collapse:
		if (slot->memory.backing() != Backing::thp)
			throw Skip("smaller than a huge page");
		slot->unite();
		if (::madvise(slot->data, slot->bytes, uapi::madv_collapse) == 0)
			break;
		if (errno != EINVAL) // nothing to collapse, or still some VMAs
			collapsed(-1);
		return {false};
	case Action::flip_huge:
		if (!slot->advise(page, odd ? uapi::madv_hugepage : uapi::madv_nohugepage))
			throw Skip("no THP");
		break;
	case Action::read_only:
		return slot->read_only(page, place);
	case Action::split:
		slot->protect(page, read_write | PROT_EXEC);
		break;
	case Action::move:
		return slot->move(0, place, value);
	case Action::move_and_keep:
		return slot->move(uapi::mremap_dontunmap, place, value);
	case Action::fork:
		return slot->fork(place, value);
	case Action::guard:
		return slot->guard(page, place);
	case Action::fill_by_uffd:
		return slot->fill_by_uffd(page, value);
	case Action::zero_by_uffd:
		return slot->fill_by_uffd(page, std::nullopt);
	case Action::free:
		return slot->free(page, place, value);
	case Action::lock:
		return {succeeded(odd ? ::mlock(slot->data + page, slot->page_size())
				      : ::munlock(slot->data + page, slot->page_size()),
				  "mlock")};
	case Action::flip_zero_page:
		zero_page_ = std::make_unique<SettingGuard>(use_zero_page, odd ? "1" : "0");
		break;
	case Action::lie:
		store(target, static_cast<std::uint8_t>(slot->shadow[place] + 1));
		break;
	}
	return {};
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
