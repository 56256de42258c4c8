// SPDX-License-Identifier: MIT
// bloom_filter (kernel/bpf/bloom_filter.c): a set of values that never shrinks.
#include <cerrno>
#include <set>

#include "vm/maps/map.h"

namespace mimicsh::vm {

namespace {

/// Exact up to a multiple of max_entries: a value that was not pushed is not found, which in the kernel is
/// likely only. Beyond that it is saturated and finds everything, as the kernel's bits all become 1.
class BloomFilter final : public VmMap {
  public:
    explicit BloomFilter(MapInfo info)
        : VmMap(std::move(info)), limit_(uint64_t{info_.max_entries} * 16), members_(Order{this}) {}

    /// Whether `value` is in the set.
    Status lookup(ByteView key, ByteSpan value) override {
        if (auto ok = check_host_call("look up", key, value.size(), false); !ok) {
            return ok;
        }
        return peek(value.data()) == 0 ? Status{} : error(ENOENT, "look up", "the value is not in it");
    }

    Status take(ByteView, ByteSpan) override {
        return error(ENOTSUP, "pop", "nothing is taken out of a bloom filter");
    }

    Status update(ByteView key, ByteView value, uint64_t flags) override {
        if (auto ok = check_host_call("push", key, value.size(), true); !ok) {
            return ok;
        }
        return push(value.data(), flags, nullptr) == 0 ? Status{} : error(EINVAL, "push", "bad flags");
    }

    Status erase(ByteView) override {
        return error(EOPNOTSUPP, "delete", "nothing is taken out of a bloom filter");
    }

    Expected<bool> next_key(ByteView, ByteSpan) override {
        return error(EOPNOTSUPP, "next key", "a bloom filter has no keys to walk");
    }

    int64_t push(const uint8_t* value, uint64_t flags, Journal* journal) override {
        if (flags != abi::kAny) {
            return -EINVAL;
        }
        if (members_.size() < limit_ && members_.find(value) == members_.end()) {
            const auto index = static_cast<uint32_t>(members_.size());
            bytes_.insert(bytes_.end(), value, value + info_.value_size);
            members_.insert(index);
            if (journal != nullptr) {
                journal->map_change(this, 0, index);
            }
        }
        return 0;
    }

    int64_t peek(uint8_t* value) override {
        return members_.size() == limit_ || members_.find(value) != members_.end() ? 0 : -ENOENT;
    }

    void undo(const Undo& change) override {
        members_.erase(change.a);
        bytes_.resize(size_t{change.a} * info_.value_size);
    }

  private:
    struct Order {
        using is_transparent = void;
        const BloomFilter* filter;
        [[nodiscard]] const uint8_t* at(uint32_t index) const {
            return filter->bytes_.data() + size_t{index} * filter->info_.value_size;
        }
        [[nodiscard]] bool less(const uint8_t* a, const uint8_t* b) const {
            return std::memcmp(a, b, filter->info_.value_size) < 0;
        }
        bool operator()(uint32_t a, uint32_t b) const { return less(at(a), at(b)); }
        bool operator()(uint32_t a, const uint8_t* b) const { return less(at(a), b); }
        bool operator()(const uint8_t* a, uint32_t b) const { return less(a, at(b)); }
    };

    uint64_t limit_;
    ByteVec bytes_; ///< the values, in the order they came
    std::set<uint32_t, Order> members_;
};

} // namespace

Expected<std::unique_ptr<VmMap>> create_bloom_filter(const MapInfo& info) {
    return std::unique_ptr<VmMap>(std::make_unique<BloomFilter>(info));
}

} // namespace mimicsh::vm
