// SPDX-License-Identifier: MIT
// hash, percpu_hash, lru_hash and lru_percpu_hash (kernel/bpf/hashtab.c): chained buckets over preallocated
// elements.
#pragma once

#include <cerrno>
#include <memory>
#include <vector>

#include "vm/maps/map.h"

namespace mimicsh::vm {

/// Mixes a key into 32 bits; the seed decides the iteration order.
inline uint32_t hash_bytes(const uint8_t* key, uint32_t size, uint64_t seed) {
    constexpr uint64_t kMul = 0x9fb21c651e98df25;
    uint64_t h = seed ^ (uint64_t{size} * kMul);
    while (size >= 8) {
        h = (h ^ load<uint64_t>(key)) * kMul;
        h ^= h >> 35;
        key += 8;
        size -= 8;
    }
    // The last 1 to 7 bytes in one step, by loads that may overlap.
    if (size >= 4) {
        h = (h ^ (load<uint32_t>(key) | uint64_t{load<uint32_t>(key + size - 4)} << 32)) * kMul;
    } else if (size > 0) {
        h = (h ^ (key[0] | uint64_t{key[size / 2]} << 8 | uint64_t{key[size - 1]} << 16)) * kMul;
    }
    h ^= h >> 35;
    return static_cast<uint32_t>(h ^ h >> 29);
}

/// Equality of short keys by two loads that may overlap.
inline bool same_key(const uint8_t* a, const uint8_t* b, uint32_t size) {
    if (size >= 8 && size <= 16) {
        return ((load<uint64_t>(a) ^ load<uint64_t>(b)) |
                (load<uint64_t>(a + size - 8) ^ load<uint64_t>(b + size - 8))) == 0;
    }
    if (size >= 4 && size < 8) {
        return ((load<uint32_t>(a) ^ load<uint32_t>(b)) |
                (load<uint32_t>(a + size - 4) ^ load<uint32_t>(b + size - 4))) == 0;
    }
    if (size == 2) {
        return load<uint16_t>(a) == load<uint16_t>(b);
    }
    return std::memcmp(a, b, size) == 0;
}

/// Elements are slots 0 .. max_entries + cpus - 1 (per-CPU maps: max_entries - 1): as in the kernel each CPU
/// holds one spare element, and replacing the value of an existing key swaps the element with the spare. So a
/// pointer from an earlier look-up still sees the old value. Per-CPU values are written in place. Freed slots
/// are reused last in, first out.
class HashMap final : public VmMap {
  public:
    HashMap(MapInfo info, uint64_t seed, ZeroedBytes values, ZeroedBytes keys)
        : VmMap(std::move(info)), value_storage_(std::move(values)), keys_(std::move(keys)), seed_(seed),
          links_(std::make_unique_for_overwrite<Link[]>(slot_count(info_))) {
        percpu_ = abi::is_percpu(info_.type);
        lru_ = info_.type == abi::MapType::LruHash || info_.type == abi::MapType::LruPercpuHash;
        is_plain_hash_ = info_.type == abi::MapType::Hash;
        slots_ = slot_count(info_);
        values_ = value_storage_.data();
        host_stride_ = round_up(info_.value_size, 8u);
        elements_ = slots_ * (percpu_ ? info_.cpus : 1);
        uint32_t buckets = 1;
        while (buckets < info_.max_entries) {
            buckets <<= 1;
        }
        heads_.assign(buckets, kNoElement);
        extra_.resize(slots_ - info_.max_entries);
        for (uint32_t cpu = 0; cpu < extra_.size(); ++cpu) {
            extra_[cpu] = info_.max_entries + cpu;
            links_[extra_[cpu]] = Link::none();
        }
    }

    /// Slots that a map of this shape has; the last ones are the spares, which per-CPU values do not need.
    static uint32_t slot_count(const MapInfo& info) {
        return info.max_entries + (abi::is_percpu(info.type) ? 0 : info.cpus);
    }

    // -- Host side --

    Status update(ByteView key, ByteView value, uint64_t flags) override {
        if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
            return ok;
        }
        const auto write = [&](uint32_t slot, bool is_new) {
            copy_in(slot, value, is_new);
            if (!is_new && percpu_) {
                release_slot(slot, nullptr);
            }
        };
        const int64_t code = put_with(key.data(), flags, 0, nullptr, write);
        if (code == 0) {
            return {};
        }
        const int reason = static_cast<int>(-code);
        return error(reason, "update",
                     reason == EEXIST   ? "key exists"
                     : reason == ENOENT ? "no such key"
                     : reason == E2BIG ? "map is full (max_entries " + std::to_string(info_.max_entries) + ")"
                                       : "bad flags");
    }

    Status erase(ByteView key) override {
        if (auto ok = check_host_call("delete", key, host_value_size(info_), true); !ok) {
            return ok;
        }
        if (remove(key.data(), nullptr) != 0) {
            return error(ENOENT, "delete", "no such key");
        }
        deleted_in_run_ = false;
        return {};
    }

    Status take(ByteView key, ByteSpan value) override {
        if (auto ok = check_host_call("take", key, value.size(), true); !ok) {
            return ok;
        }
        if (auto ok = lookup(key, value); !ok) {
            return ok;
        }
        return erase(key);
    }

    Expected<bool> next_key(ByteView key, ByteSpan next) override {
        const uint32_t slot = key.size() == info_.key_size ? host_find(key) : kNoElement;
        uint32_t bucket = 0;
        if (slot != kNoElement) {
            if (links_[slot].next != kNoElement) {
                return give_key(links_[slot].next, next);
            }
            bucket = (links_[slot].hash & mask()) + 1;
        }
        for (; bucket < heads_.size(); ++bucket) {
            if (heads_[bucket] != kNoElement) {
                return give_key(heads_[bucket], next);
            }
        }
        return false;
    }

    /// Whole buckets at a time, so that deleting what was handed out never loses the place; may pass `limit`
    /// by the length of one bucket.
    Expected<size_t> next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values, size_t limit) override {
        uint32_t bucket = cursor.position.size() == 4 ? load<uint32_t>(cursor.position.data()) : 0;
        const uint32_t value_size = host_value_size(info_);
        size_t count = 0;
        for (; bucket < heads_.size() && count < limit; ++bucket) {
            for (uint32_t slot = heads_[bucket]; slot != kNoElement; slot = links_[slot].next, ++count) {
                keys.insert(keys.end(), key(slot), key(slot) + info_.key_size);
                values.resize(values.size() + value_size);
                copy_out(slot, ByteSpan(values).last(value_size));
            }
        }
        cursor.started = true;
        cursor.done = bucket >= heads_.size();
        cursor.position.resize(4);
        store(cursor.position.data(), bucket);
        return count;
    }

    // -- Program side --

    uint32_t find(const uint8_t* key, uint32_t cpu, Journal* journal) override {
        const uint32_t slot = find_slot(key, hash_bytes(key, info_.key_size, seed_));
        if (slot == kNoElement) {
            return kNoElement;
        }
        if (lru_) {
            touch(slot, journal);
        }
        return percpu_ ? cpu * slots_ + slot : slot;
    }

    /// `find` of a map that is neither per-CPU nor LRU, without the questions.
    [[nodiscard]] uint32_t find_plain(const uint8_t* wanted) const {
        return find_slot(wanted, hash_bytes(wanted, info_.key_size, seed_));
    }

    int64_t put(const uint8_t* key, const uint8_t* value, uint64_t flags, uint32_t cpu,
                Journal* journal) override {
        const auto write = [&](uint32_t slot, bool is_new) {
            const uint32_t element = element_of(slot, cpu);
            uint8_t* to = this->value(element);
            if (journal != nullptr) {
                journal->bytes(to, info_.value_size);
            }
            write_value(to, value, is_new);
            if (!is_new && percpu_) {
                release_fields(element, journal);
            }
        };
        return put_with(key, flags, cpu, journal, write);
    }

    int64_t remove(const uint8_t* key, Journal* journal) override {
        const uint32_t slot = find_slot(key, hash_bytes(key, info_.key_size, seed_));
        if (slot == kNoElement) {
            return -ENOENT;
        }
        unlink(slot, journal);
        release_slot(slot, journal);
        push_free(slot, journal);
        deleted_in_run_ = true;
        return 0;
    }

    std::optional<std::vector<uint32_t>> entries() override {
        std::vector<uint32_t> all;
        for (const uint32_t head : heads_) {
            for (uint32_t slot = head; slot != kNoElement; slot = links_[slot].next) {
                all.push_back(slot);
            }
        }
        return all;
    }

    void copy_key(uint32_t slot, uint8_t* to) const override { std::memcpy(to, key(slot), info_.key_size); }

    bool is_live(uint32_t element) const override {
        const uint32_t slot = element % slots_;
        const bool is_fresh = slot >= fresh_ && slot < info_.max_entries;
        return !is_fresh && links_[slot].live;
    }

    void undo(const Undo& change) override {
        switch (static_cast<Change>(change.op)) {
        case Change::Link:
            unlink(change.a, nullptr);
            break;
        case Change::Unlink:
            link(change.a, change.b, nullptr);
            break;
        case Change::PushFree:
            free_.pop_back();
            break;
        case Change::PopFree:
            free_.push_back(change.a);
            break;
        case Change::TakeFresh:
            --fresh_;
            break;
        case Change::Spare:
            extra_[change.b] = change.a;
            break;
        case Change::Touch:
            age_remove(change.a);
            age_insert_after(change.a, change.b);
            break;
        }
    }

  protected:
    uint32_t host_find(ByteView key) override {
        return find_slot(key.data(), hash_bytes(key.data(), info_.key_size, seed_));
    }

  private:
    /// Links of one slot: its bucket chain, and for LRU its place between older and newer.
    struct Link {
        uint32_t next;
        uint32_t hash;
        uint32_t newer;
        uint32_t older;
        bool live;

        static Link none() { return {kNoElement, 0, kNoElement, kNoElement, false}; }
    };

    /// Structural changes as the journal keeps them; `a` is a slot unless said otherwise.
    enum class Change : uint32_t {
        Link,   ///< put at the head of its bucket (and newest)
        Unlink, ///< b = slot before it in the chain, kNoElement at the head
        PushFree,
        PopFree,
        TakeFresh,
        Spare, ///< a = old spare of CPU b
        Touch, ///< b = slot that was newer than it, kNoElement when it was the newest
    };

    [[nodiscard]] uint32_t mask() const { return static_cast<uint32_t>(heads_.size()) - 1; }
    [[nodiscard]] uint8_t* key(uint32_t slot) const { return keys_.data() + size_t{slot} * info_.key_size; }

    [[nodiscard]] bool give_key(uint32_t slot, ByteSpan next) const {
        std::memcpy(next.data(), key(slot), info_.key_size);
        return true;
    }

    [[nodiscard]] uint32_t find_slot(const uint8_t* wanted, uint32_t hash) const {
        for (uint32_t slot = heads_[hash & mask()]; slot != kNoElement; slot = links_[slot].next) {
            if (links_[slot].hash == hash && same_key(key(slot), wanted, info_.key_size)) {
                return slot;
            }
        }
        return kNoElement;
    }

    void note(Journal* journal, Change change, uint32_t a, uint32_t b = 0) {
        if (journal != nullptr) {
            journal->map_change(this, static_cast<uint32_t>(change), a, b);
        }
    }

    /// Puts a slot behind `before` in its bucket, or at the head, and makes it the newest.
    void link(uint32_t slot, uint32_t before, Journal* journal) {
        Link& entry = links_[slot];
        uint32_t& to = before == kNoElement ? heads_[entry.hash & mask()] : links_[before].next;
        entry.next = to;
        to = slot;
        entry.live = true;
        ++count_;
        if (lru_) {
            age_insert_after(slot, kNoElement);
        }
        note(journal, Change::Link, slot);
    }

    void unlink(uint32_t slot, Journal* journal) {
        Link& entry = links_[slot];
        uint32_t before = kNoElement;
        uint32_t at = heads_[entry.hash & mask()];
        while (at != slot) {
            before = at;
            at = links_[at].next;
        }
        (before == kNoElement ? heads_[entry.hash & mask()] : links_[before].next) = entry.next;
        entry.live = false;
        --count_;
        if (lru_) {
            // The age must come back as it was: remembered as a touch before the link is undone.
            note(journal, Change::Touch, slot, entry.newer);
            age_remove(slot);
        }
        note(journal, Change::Unlink, slot, before);
    }

    void push_free(uint32_t slot, Journal* journal) {
        free_.push_back(slot);
        note(journal, Change::PushFree, slot);
    }

    /// A slot nobody uses, or kNoElement when all max_entries are taken.
    uint32_t take_free(Journal* journal) {
        if (!free_.empty()) {
            const uint32_t slot = free_.back();
            free_.pop_back();
            note(journal, Change::PopFree, slot);
            return slot;
        }
        if (fresh_ < info_.max_entries) {
            note(journal, Change::TakeFresh, fresh_);
            links_[fresh_] = Link::none();
            return fresh_++;
        }
        return kNoElement;
    }

    // -- Age order of LRU maps: newest_ ... oldest_ --

    void age_insert_after(uint32_t slot, uint32_t newer) {
        Link& entry = links_[slot];
        entry.newer = newer;
        entry.older = newer == kNoElement ? newest_ : links_[newer].older;
        (newer == kNoElement ? newest_ : links_[newer].older) = slot;
        (entry.older == kNoElement ? oldest_ : links_[entry.older].newer) = slot;
    }

    void age_remove(uint32_t slot) {
        const Link& entry = links_[slot];
        (entry.newer == kNoElement ? newest_ : links_[entry.newer].older) = entry.older;
        (entry.older == kNoElement ? oldest_ : links_[entry.older].newer) = entry.newer;
    }

    void touch(uint32_t slot, Journal* journal) {
        if (newest_ == slot) {
            return;
        }
        note(journal, Change::Touch, slot, links_[slot].newer);
        age_remove(slot);
        age_insert_after(slot, kNoElement);
    }

    /// Slot for a key that is not in the map yet.
    uint32_t slot_for_new(Journal* journal) {
        const uint32_t slot = take_free(journal);
        if (slot != kNoElement || !lru_) {
            return slot;
        }
        const uint32_t victim = oldest_;
        unlink(victim, journal);
        release_slot(victim, journal);
        push_free(victim, journal);
        return take_free(journal);
    }

    template <typename Write>
    int64_t put_with(const uint8_t* wanted, uint64_t flags, uint32_t cpu, Journal* journal, Write write) {
        const bool locks = (flags & abi::kLock) != 0;
        if ((flags & ~abi::kLock) > abi::kExist || (locks && (!lock_offset() || lru_))) {
            return -EINVAL;
        }
        flags &= ~abi::kLock;
        const uint32_t hash = hash_bytes(wanted, info_.key_size, seed_);
        const uint32_t old = find_slot(wanted, hash);
        if (old != kNoElement && flags == abi::kNoExist) {
            return -EEXIST;
        }
        if (old == kNoElement && flags == abi::kExist) {
            return -ENOENT;
        }
        if (old != kNoElement && percpu_) {
            if (lru_) {
                touch(old, journal);
            }
            write(old, false);
            return 0;
        }
        if (old != kNoElement && locks) {
            write(old, false); // under the lock of the value, so in place, and what it owns stays
            return 0;
        }
        const uint32_t slot = old != kNoElement ? extra_[cpu] : slot_for_new(journal);
        if (slot == kNoElement) {
            return -E2BIG;
        }
        if (percpu_) {
            clear_all_cpus(slot, journal);
        }
        write(slot, true);
        links_[slot].hash = hash;
        std::memcpy(key(slot), wanted, info_.key_size);
        if (old != kNoElement) {
            unlink(old, journal);
            release_fields(old, journal);
            note(journal, Change::Spare, slot, cpu);
            extra_[cpu] = old;
        }
        link(slot, kNoElement, journal);
        return 0;
    }

    /// A new per-CPU entry is zero on the CPUs that did not write it.
    void clear_all_cpus(uint32_t slot, Journal* journal) {
        for (uint32_t cpu = 0; cpu < info_.cpus; ++cpu) {
            uint8_t* bytes = value(cpu * slots_ + slot);
            if (journal != nullptr) {
                journal->bytes(bytes, info_.value_size);
            }
            std::memset(bytes, 0, info_.value_size);
        }
    }

    ZeroedBytes value_storage_;
    ZeroedBytes keys_;
    uint64_t seed_;
    std::vector<uint32_t> heads_;
    std::unique_ptr<Link[]> links_; ///< by slot, not set for those from fresh_ on
    std::vector<uint32_t> free_;
    std::vector<uint32_t> extra_;
    uint32_t fresh_ = 0; ///< slots from here to max_entries were never used
    uint32_t count_ = 0;
    uint32_t newest_ = kNoElement;
    uint32_t oldest_ = kNoElement;
    bool percpu_ = false;
    bool lru_ = false;
};

} // namespace mimicsh::vm
