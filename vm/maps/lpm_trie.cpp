// SPDX-License-Identifier: MIT
// lpm_trie (kernel/bpf/lpm_trie.c): longest prefix match over keys of a prefix length and its bytes.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <deque>
#include <set>

#include "vm/maps/map.h"

namespace mimicsh::vm {

namespace {

/// A prefix; bits behind `length` mean nothing.
struct Prefix {
    uint32_t length = 0;
    const uint8_t* data = nullptr;
};

Prefix prefix_of(const uint8_t* key) {
    return {load<uint32_t>(key), key + 4};
}

/// Leading bits that both have in common.
uint32_t common_bits(Prefix a, Prefix b) {
    const uint32_t limit = std::min(a.length, b.length);
    for (uint32_t byte = 0; byte * 8 < limit; ++byte) {
        const auto difference = static_cast<uint8_t>(a.data[byte] ^ b.data[byte]);
        if (difference != 0) {
            return std::min(limit, byte * 8 + static_cast<uint32_t>(std::countl_zero(difference)));
        }
    }
    return limit;
}

bool bit_of(Prefix prefix, uint32_t at) {
    return (prefix.data[at / 8] >> (7 - at % 8) & 1) != 0;
}

/// The order in which the kernel walks its trie: branch 0 before branch 1, longer prefixes before those that
/// cover them.
bool walks_before(Prefix a, Prefix b) {
    const uint32_t common = common_bits(a, b);
    if (common == a.length || common == b.length) {
        return a.length > b.length;
    }
    return bit_of(b, common);
}

/// Entries are kept in walking order, where the prefixes that cover a key follow it, the longest first. As in
/// the kernel, every update makes a new element, and an old one is not used again soon: a pointer from an
/// earlier look-up still sees the old value.
class LpmTrie final : public VmMap {
  public:
    /// Slots beyond max_entries, so that replaced elements stay readable for a while.
    static constexpr uint32_t kSpare = 64;

    LpmTrie(MapInfo info, ZeroedBytes values, ZeroedBytes keys)
        : VmMap(std::move(info)), value_storage_(std::move(values)), keys_(std::move(keys)),
          order_(Order{this}) {
        values_ = value_storage_.data();
        host_stride_ = round_up(info_.value_size, 8u);
        elements_ = slots_ = info_.max_entries + kSpare;
    }

    // -- Host side --

    Status update(ByteView key, ByteView value, uint64_t flags) override {
        if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
            return ok;
        }
        switch (put(key.data(), value.data(), flags, 0, nullptr)) {
        case 0:
            return {};
        case -EEXIST:
            return error(EEXIST, "update", "key exists");
        case -ENOENT:
            return error(ENOENT, "update", "no such key");
        case -ENOSPC:
            return error(ENOSPC, "update",
                         "map is full (max_entries " + std::to_string(info_.max_entries) + ")");
        default:
            return error(EINVAL, "update",
                         flags > abi::kExist ? "bad flags" : "the prefix is longer than the key");
        }
    }

    Status erase(ByteView key) override {
        if (auto ok = check_host_call("delete", key, info_.value_size, true); !ok) {
            return ok;
        }
        const int64_t code = remove(key.data(), nullptr);
        deleted_in_run_ = false;
        return code == 0         ? Status{}
               : code == -ENOENT ? error(ENOENT, "delete", "no such key")
                                 : error(EINVAL, "delete", "the prefix is longer than the key");
    }

    Expected<bool> next_key(ByteView key, ByteSpan next) override {
        auto following = order_.begin();
        if (key.size() == info_.key_size && prefix_of(key.data()).length <= bits()) {
            if (const auto found = order_.find(prefix_of(key.data())); found != order_.end()) {
                following = std::next(found);
            }
        }
        if (following == order_.end()) {
            return false;
        }
        std::memcpy(next.data(), this->key(*following), info_.key_size);
        return true;
    }

    // -- Program side --

    uint32_t find(const uint8_t* key, uint32_t, Journal*) override {
        Prefix wanted = prefix_of(key);
        if (wanted.length > bits()) {
            return kNoElement;
        }
        while (true) {
            // What comes first at or behind the wanted prefix either covers it, or leaves it where every
            // entry that covers it leaves it too.
            const auto at = order_.lower_bound(wanted);
            if (at == order_.end()) {
                return kNoElement;
            }
            const Prefix entry = prefix_of(this->key(*at));
            const uint32_t common = common_bits(entry, wanted);
            if (common == entry.length) {
                return *at;
            }
            wanted.length = common;
        }
    }

    int64_t put(const uint8_t* key, const uint8_t* value, uint64_t flags, uint32_t,
                Journal* journal) override {
        if (flags > abi::kExist || prefix_of(key).length > bits()) {
            return -EINVAL;
        }
        const auto old = order_.find(prefix_of(key));
        if (old != order_.end() && flags == abi::kNoExist) {
            return -EEXIST;
        }
        if (old == order_.end() && flags == abi::kExist) {
            return -ENOENT;
        }
        if (old == order_.end() && order_.size() == info_.max_entries) {
            return -ENOSPC;
        }
        if (old != order_.end()) {
            drop(*old, journal);
        }
        const uint32_t slot = take_free(journal);
        copy(this->key(slot), key, info_.key_size, journal);
        copy(this->value(slot), value, info_.value_size, journal);
        order_.insert(slot);
        note(journal, Change::Insert, slot);
        return 0;
    }

    int64_t remove(const uint8_t* key, Journal* journal) override {
        if (prefix_of(key).length > bits()) {
            return -EINVAL;
        }
        const auto found = order_.find(prefix_of(key));
        if (found == order_.end()) {
            return -ENOENT;
        }
        drop(*found, journal);
        deleted_in_run_ = true;
        return 0;
    }

    bool is_live(uint32_t element) const override {
        const auto found = order_.find(prefix_of(key(element)));
        return found != order_.end() && *found == element;
    }

    void undo(const Undo& change) override {
        switch (static_cast<Change>(change.op)) {
        case Change::Insert:
            order_.erase(change.a);
            break;
        case Change::Remove:
            order_.insert(change.a);
            free_.pop_back();
            break;
        case Change::TakeFree:
            free_.push_front(change.a);
            break;
        case Change::TakeFresh:
            --fresh_;
            break;
        }
    }

  protected:
    uint32_t host_find(ByteView key) override { return find(key.data(), 0, nullptr); }

  private:
    /// Changes as the journal keeps them; `a` is a slot.
    enum class Change : uint32_t { Insert, Remove, TakeFree, TakeFresh };

    struct Order {
        using is_transparent = void;
        const LpmTrie* trie;
        bool operator()(uint32_t a, uint32_t b) const { return (*this)(prefix_of(trie->key(a)), b); }
        bool operator()(uint32_t a, Prefix b) const { return walks_before(prefix_of(trie->key(a)), b); }
        bool operator()(Prefix a, uint32_t b) const { return walks_before(a, prefix_of(trie->key(b))); }
    };

    [[nodiscard]] uint32_t bits() const { return (info_.key_size - 4) * 8; }
    [[nodiscard]] uint8_t* key(uint32_t slot) const { return keys_.data() + size_t{slot} * info_.key_size; }

    static void copy(uint8_t* to, const uint8_t* from, uint32_t size, Journal* journal) {
        if (journal != nullptr) {
            journal->bytes(to, size);
        }
        std::memcpy(to, from, size);
    }

    void note(Journal* journal, Change change, uint32_t slot) {
        if (journal != nullptr) {
            journal->map_change(this, static_cast<uint32_t>(change), slot);
        }
    }

    void drop(uint32_t slot, Journal* journal) {
        order_.erase(slot);
        free_.push_back(slot);
        note(journal, Change::Remove, slot);
    }

    /// Never used ones first, then the one that was given back longest ago.
    uint32_t take_free(Journal* journal) {
        if (fresh_ < slots_) {
            note(journal, Change::TakeFresh, fresh_);
            return fresh_++;
        }
        const uint32_t slot = free_.front();
        free_.pop_front();
        note(journal, Change::TakeFree, slot);
        return slot;
    }

    ZeroedBytes value_storage_;
    ZeroedBytes keys_;
    std::set<uint32_t, Order> order_; ///< slots of the entries
    std::deque<uint32_t> free_;
    uint32_t fresh_ = 0; ///< slots from here on were never used
};

} // namespace

Expected<std::unique_ptr<VmMap>> create_lpm_trie(const MapInfo& info) {
    const uint64_t slots = uint64_t{info.max_entries} + LpmTrie::kSpare;
    auto values = ZeroedBytes::allocate(slots * round_up(info.value_size, 8u));
    if (!values) {
        return values.error();
    }
    auto keys = ZeroedBytes::allocate(slots * info.key_size);
    if (!keys) {
        return keys.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<LpmTrie>(info, std::move(*values), std::move(*keys)));
}

} // namespace mimicsh::vm
