// SPDX-License-Identifier: MIT
// Pages of an arena: which are there, which can be allocated, and what the host reads and writes.
#include "vm/maps/arena.h"

#include <cerrno>

#include <sys/mman.h>

namespace mimicsh::vm {

namespace {

/// Pages whose addresses are opened together, so that an arena is few mappings of the host.
constexpr uint32_t kChunk = 512;
constexpr uint32_t kPagesOfSpan = uint32_t{1} << 20;

/// Changes in the journal. The age of a range that was erased stands before that, so that it is undone after.
enum Change : uint32_t { kRangeInserted, kRangeErased, kAge, kPagesMade, kPageDropped };

} // namespace

// -- Ranges of free pages (kernel/bpf/range_tree.c) --

void ArenaMap::FreeRanges::put(uint32_t start, uint32_t last, uint64_t age) {
    ranges_[start] = {last, age};
    by_size_.emplace(uint64_t{last} - start + 1, UINT64_MAX - age);
    by_age_[age] = start;
}

ArenaMap::FreeRanges::Range ArenaMap::FreeRanges::drop(uint32_t start) {
    const auto at = ranges_.find(start);
    const Range range = at->second;
    by_size_.erase({uint64_t{range.last} - start + 1, UINT64_MAX - range.age});
    by_age_.erase(range.age);
    ranges_.erase(at);
    return range;
}

void ArenaMap::FreeRanges::insert(uint32_t start, uint32_t last, Journal* journal) {
    put(start, last, ages_++);
    if (journal != nullptr) {
        journal->map_change(&map_, kRangeInserted, start);
    }
}

void ArenaMap::FreeRanges::erase(uint32_t start, Journal* journal) {
    const Range range = drop(start);
    if (journal != nullptr) {
        journal->map_change(&map_, kAge, static_cast<uint32_t>(range.age),
                            static_cast<uint32_t>(range.age >> 32));
        journal->map_change(&map_, kRangeErased, start, range.last);
    }
}

ArenaMap::FreeRanges::Ranges::const_iterator ArenaMap::FreeRanges::first_in(uint32_t start,
                                                                            uint32_t last) const {
    auto at = ranges_.upper_bound(start);
    if (at != ranges_.begin() && std::prev(at)->second.last >= start) {
        return std::prev(at);
    }
    return at != ranges_.end() && at->first <= last ? at : ranges_.end();
}

std::optional<uint32_t> ArenaMap::FreeRanges::find(uint32_t pages) const {
    const auto best = by_size_.lower_bound({pages, 0});
    return best == by_size_.end() ? std::nullopt : std::optional(by_age_.at(UINT64_MAX - best->second));
}

bool ArenaMap::FreeRanges::holds(uint32_t start, uint32_t pages) const {
    const uint32_t last = start + pages - 1;
    const auto at = first_in(start, last);
    return at != ranges_.end() && at->first <= start && at->second.last >= last;
}

void ArenaMap::FreeRanges::clear(uint32_t start, uint32_t pages, Journal* journal) {
    const uint32_t last = start + pages - 1;
    for (auto at = first_in(start, last); at != ranges_.end(); at = first_in(start, last)) {
        const auto [begin, range] = *at;
        erase(begin, journal);
        if (begin < start) {
            insert(begin, start - 1, journal);
        }
        if (range.last > last) {
            insert(last + 1, range.last, journal);
        }
    }
}

void ArenaMap::FreeRanges::set(uint32_t start, uint32_t pages, Journal* journal) {
    if (holds(start, pages)) {
        return;
    }
    clear(start, pages, journal);
    uint32_t first = start;
    uint32_t last = start + pages - 1;
    if (const auto left = first_in(start - 1, start - 1); start != 0 && left != ranges_.end()) {
        first = left->first;
    }
    if (const auto right = first_in(last + 1, last + 1); right != ranges_.end()) {
        const auto [begin, range] = *right;
        erase(begin, journal);
        last = range.last;
    }
    if (first != start) {
        erase(first, journal);
    }
    insert(first, last, journal);
}

// -- Making one --

ArenaMap::ArenaMap(MapInfo info, uint64_t address, uint64_t memory_limit, uint8_t* space)
    : VmMap(std::move(info)), address_(address), memory_limit_(memory_limit), space_(space),
      present_(kPagesOfSpan / 64), opened_(kPagesOfSpan / kChunk), free_(*this) {
    free_.set(0, info_.max_entries, nullptr);
}

ArenaMap::~ArenaMap() {
    (void)munmap(space_, kSpan);
}

Expected<std::unique_ptr<VmMap>> ArenaMap::create(const MapInfo& info, uint64_t address,
                                                  uint64_t memory_limit) {
    void* space = mmap(nullptr, kSpan, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
        return Error{ENOMEM,
                     "create map",
                     info.name + ": an arena takes 4 GiB of addresses, which are not to be had",
                     "raise the limit of the process (ulimit -v)",
                     {}};
    }
    return std::unique_ptr<VmMap>(new ArenaMap(info, address, memory_limit, static_cast<uint8_t*>(space)));
}

// -- Pages --

/// False: they do not fit the memory limit.
bool ArenaMap::make_pages(uint32_t first, uint32_t count, Journal* journal) {
    if ((pages_ + count) * abi::kArenaPage > memory_limit_) {
        return false;
    }
    for (uint32_t chunk = first / kChunk; chunk <= (first + count - 1) / kChunk; ++chunk) {
        uint8_t* begin = space_ + size_t{chunk} * kChunk * abi::kArenaPage;
        if (!opened_[chunk] &&
            mprotect(begin, size_t{kChunk} * abi::kArenaPage, PROT_READ | PROT_WRITE) != 0) {
            return false;
        }
        opened_[chunk] = true;
    }
    for (uint32_t page = first; page < first + count; ++page) {
        present_[page / 64] |= uint64_t{1} << (page % 64);
    }
    pages_ += count;
    if (journal != nullptr) {
        journal->map_change(this, kPagesMade, first, count);
    }
    return true;
}

void ArenaMap::drop_pages(uint32_t first, uint32_t count, Journal* journal) {
    for (uint32_t page = first; journal != nullptr && page < first + count; ++page) {
        journal->bytes(space_ + size_t{page} * abi::kArenaPage, abi::kArenaPage);
        journal->map_change(this, kPageDropped, page);
    }
    clear_pages(first, count);
}

/// Gives the memory of pages back; they read as zeros when they come again.
void ArenaMap::clear_pages(uint32_t first, uint32_t count) {
    uint8_t* begin = space_ + size_t{first} * abi::kArenaPage;
    const size_t size = size_t{count} * abi::kArenaPage;
    if (madvise(begin, size, MADV_DONTNEED) != 0) { // larger pages of the host
        std::memset(begin, 0, size);
    }
    for (uint32_t page = first; page < first + count; ++page) {
        present_[page / 64] &= ~(uint64_t{1} << (page % 64));
    }
    pages_ -= count;
}

void ArenaMap::undo(const Undo& undo) {
    switch (undo.op) {
    case kRangeInserted:
        free_.erase_again(undo.a);
        break;
    case kRangeErased:
        returning_ = {undo.a, undo.b};
        break;
    case kAge:
        free_.insert_again(returning_.first, returning_.second, undo.a | uint64_t{undo.b} << 32);
        break;
    case kPagesMade:
        clear_pages(undo.a, undo.b);
        break;
    default: // kPageDropped; its bytes come back after it
        present_[undo.a / 64] |= uint64_t{1} << (undo.a % 64);
        ++pages_;
        break;
    }
}

// -- Programs --

ArenaMap::Allocation ArenaMap::allocate(uint64_t address, uint32_t pages, Journal* journal) {
    if (pages > info_.max_entries) {
        return {};
    }
    uint32_t number = 0;
    if (address != 0) {
        number = number_of(address);
        if (address % abi::kArenaPage != 0 || number > info_.max_entries - pages ||
            !free_.holds(number, pages)) {
            return {};
        }
    } else if (const auto found = free_.find(pages)) {
        number = *found;
    } else {
        return {};
    }
    const uint32_t low = static_cast<uint32_t>(address_) + number * abi::kArenaPage;
    const uint32_t first = low / abi::kArenaPage;
    for (uint32_t i = 0; i < pages; ++i) {
        if (is_there((first + i) % kPagesOfSpan)) {
            return {}; // below the arena's first page, see `release`
        }
    }
    if (!make_pages(first, pages, journal)) {
        return {0, true};
    }
    free_.clear(number, pages, journal);
    return {(address_ & ~uint64_t{UINT32_MAX}) + low, false};
}

uint64_t ArenaMap::release(uint64_t address, uint32_t pages, Journal* journal) {
    const uint64_t low = static_cast<uint32_t>(address) & ~(abi::kArenaPage - 1);
    const uint64_t begin = (address_ & ~uint64_t{UINT32_MAX}) + low;
    const uint64_t end = std::min(address_ + size(), begin + uint64_t{pages} * abi::kArenaPage);
    if (begin >= end) {
        return 0;
    }
    const auto count = static_cast<uint32_t>((end - begin) / abi::kArenaPage);
    // The kernel does not look whether addresses lie below the first page: they make pages free that no
    // arena has, with numbers that wrapped.
    free_.set(number_of(low), count, journal);
    const auto first = static_cast<uint32_t>(low / abi::kArenaPage);
    for (uint32_t page = first; page < first + count;) {
        uint32_t present = 0;
        while (page + present < first + count && is_there(page + present)) {
            ++present;
        }
        if (present != 0) {
            drop_pages(page, present, journal);
        }
        page += present + 1;
    }
    return count;
}

int64_t ArenaMap::reserve(uint64_t address, uint32_t pages, Journal* journal) {
    if (address % abi::kArenaPage != 0) {
        return 0;
    }
    const uint32_t number = number_of(address);
    if (uint64_t{number} + pages > info_.max_entries) {
        return -EINVAL;
    }
    if (!free_.holds(number, pages)) {
        return -EBUSY;
    }
    free_.clear(number, pages, journal);
    return 0;
}

// -- The host --

Status ArenaMap::lookup(ByteView, ByteSpan) {
    return error(EINVAL, "look up", "an arena has no entries, its bytes are read by offset");
}

Status ArenaMap::update(ByteView, ByteView, uint64_t) {
    return error(EOPNOTSUPP, "update", "an arena has no entries, its bytes are written by offset");
}

Status ArenaMap::erase(ByteView) {
    return error(EOPNOTSUPP, "delete", "an arena has no entries");
}

Expected<bool> ArenaMap::next_key(ByteView, ByteSpan) {
    return error(EOPNOTSUPP, "next key", "an arena has no entries");
}

/// The page at an offset, as a fault in user space brings it in.
Status ArenaMap::bring_in(uint64_t offset, const char* op) {
    const auto page = static_cast<uint32_t>((static_cast<uint32_t>(address_) + offset) / abi::kArenaPage);
    if (is_there(page)) {
        return {};
    }
    if ((info_.flags & abi::kMapSegvOnFault) != 0) {
        return error(EFAULT, op,
                     "no program has allocated the page at offset " +
                         std::to_string(offset - offset % abi::kArenaPage));
    }
    if (!make_pages(page, 1, nullptr)) {
        return error(ENOMEM, op,
                     "its pages do not fit the memory limit of " + std::to_string(memory_limit_ >> 20) +
                         " MiB");
    }
    free_.clear(static_cast<uint32_t>(offset / abi::kArenaPage), 1, nullptr);
    return {};
}

template <typename Copy>
Status ArenaMap::copy(uint64_t offset, size_t size_of_copy, const char* op, const Copy& one_page) {
    if (offset > size() || size_of_copy > size() - offset) {
        return error(E2BIG, op,
                     std::to_string(size_of_copy) + " bytes at offset " + std::to_string(offset) + " of " +
                         std::to_string(size()));
    }
    size_t done = 0;
    while (done < size_of_copy) {
        const uint64_t at = offset + done;
        const size_t step = std::min<size_t>(size_of_copy - done, abi::kArenaPage - at % abi::kArenaPage);
        if (auto ok = bring_in(at, op); !ok) {
            return ok;
        }
        one_page(space_ + static_cast<uint32_t>(address_) + at, done, step);
        done += step;
    }
    return {};
}

Status ArenaMap::read_at(uint64_t offset, ByteSpan to) {
    return copy(offset, to.size(), "read", [&](const uint8_t* page, size_t done, size_t size_of_part) {
        std::memcpy(to.data() + done, page, size_of_part);
    });
}

Status ArenaMap::write_at(uint64_t offset, ByteView from) {
    if (frozen_) {
        return error(EPERM, "write", "map is read only");
    }
    return copy(offset, from.size(), "write", [&](uint8_t* page, size_t done, size_t size_of_part) {
        std::memcpy(page, from.data() + done, size_of_part);
    });
}

} // namespace mimicsh::vm
