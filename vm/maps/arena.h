// SPDX-License-Identifier: MIT
// arena (kernel/bpf/arena.c): pages that programs and the host share, named by the low half of their
// addresses.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "object/arena.h"
#include "vm/maps/map.h"

namespace mimicsh::vm {

class ArenaMap final : public VmMap, public ArenaBytes {
  public:
    /// `address` of the first page; `memory_limit`: bytes that its pages may take.
    [[nodiscard]] static Expected<std::unique_ptr<VmMap>> create(const MapInfo& info, uint64_t address,
                                                                 uint64_t memory_limit);
    ~ArenaMap() override;

    // -- The host's side --
    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;
    [[nodiscard]] Status read_at(uint64_t offset, ByteSpan to) override;
    [[nodiscard]] Status write_at(uint64_t offset, ByteView from) override;

    [[nodiscard]] uint64_t address() const override { return address_; }

    // -- Programs' side --
    /// Bytes between the first page and the last byte.
    [[nodiscard]] uint64_t size() const { return uint64_t{info_.max_entries} * abi::kArenaPage; }
    /// Host bytes at a distance from where low halves of addresses count from; null unless all of them are
    /// there.
    [[nodiscard]] uint8_t* find_bytes(int64_t place, uint32_t size) const {
        const auto first = static_cast<uint64_t>(place);
        const uint64_t last = first + size - 1;
        if (first >= kSpan || last >= kSpan || !is_there(first / abi::kArenaPage) ||
            !is_there(last / abi::kArenaPage)) {
            return nullptr;
        }
        return space_ + first;
    }

    /// What an allocation came to.
    struct Allocation {
        uint64_t address = 0;        ///< 0: there is no such place
        bool exceeds_memory = false; ///< the vm's own limit, of which the kernel knows nothing
    };
    /// bpf_arena_alloc_pages with the flags 0 on whatever NUMA node; `pages` is not 0.
    [[nodiscard]] Allocation allocate(uint64_t address, uint32_t pages, Journal* journal);
    /// bpf_arena_free_pages; returns how many pages it looked at.
    uint64_t release(uint64_t address, uint32_t pages, Journal* journal);
    /// bpf_arena_reserve_pages.
    [[nodiscard]] int64_t reserve(uint64_t address, uint32_t pages, Journal* journal);
    void undo(const Undo& undo) override;

  private:
    static constexpr uint64_t kSpan = uint64_t{1} << 32;

    ArenaMap(MapInfo info, uint64_t address, uint64_t memory_limit, uint8_t* space);

    [[nodiscard]] bool is_there(uint64_t page) const { return (present_[page / 64] >> (page % 64) & 1) != 0; }
    /// Number of the page behind the first one, as the kernel counts it: addresses below the first page's
    /// wrap.
    [[nodiscard]] uint32_t number_of(uint64_t address) const {
        return static_cast<uint32_t>(address - address_) / abi::kArenaPage;
    }
    [[nodiscard]] Status bring_in(uint64_t offset, const char* op);
    [[nodiscard]] bool make_pages(uint32_t first, uint32_t count, Journal* journal);
    void drop_pages(uint32_t first, uint32_t count, Journal* journal);
    void clear_pages(uint32_t first, uint32_t count);
    template <typename Copy>
    [[nodiscard]] Status copy(uint64_t offset, size_t size, const char* op, const Copy& one_page);

    /// Pages that can be allocated, as ranges; the kernel's range_tree, which decides where pages come from:
    /// from the smallest range that is large enough, and of several the one that was entered last.
    class FreeRanges {
      public:
        explicit FreeRanges(ArenaMap& map) : map_(map) {}
        [[nodiscard]] std::optional<uint32_t> find(uint32_t pages) const;
        [[nodiscard]] bool holds(uint32_t start, uint32_t pages) const;
        void clear(uint32_t start, uint32_t pages, Journal* journal);
        void set(uint32_t start, uint32_t pages, Journal* journal);
        void insert_again(uint32_t start, uint32_t last, uint64_t age) { put(start, last, age); }
        void erase_again(uint32_t start) { (void)drop(start); }

      private:
        struct Range {
            uint32_t last = 0;
            uint64_t age = 0; ///< how many were entered before it
        };
        using Ranges = std::map<uint32_t, Range>; ///< by first page; none touches another

        void put(uint32_t start, uint32_t last, uint64_t age);
        Range drop(uint32_t start);
        void insert(uint32_t start, uint32_t last, Journal* journal);
        void erase(uint32_t start, Journal* journal);
        [[nodiscard]] Ranges::const_iterator first_in(uint32_t start, uint32_t last) const;

        ArenaMap& map_;
        Ranges ranges_;
        std::set<std::pair<uint64_t, uint64_t>> by_size_; ///< pages, and UINT64_MAX less the age
        std::map<uint64_t, uint32_t> by_age_;             ///< first page
        uint64_t ages_ = 0;
    };

    uint64_t address_;
    uint64_t memory_limit_;
    uint8_t* space_;                ///< 4 GiB of addresses, of which only pages that are there can be touched
    std::vector<uint64_t> present_; ///< a bit for each page of the span
    std::vector<bool> opened_;      ///< by chunk: its addresses can be touched
    uint64_t pages_ = 0;            ///< that are there
    FreeRanges free_;
    std::pair<uint32_t, uint32_t> returning_; ///< range that an undo brings back, until its age is known
};

} // namespace mimicsh::vm
