// SPDX-License-Identifier: MIT
// queue and stack (kernel/bpf/queue_stack_maps.c): values without keys in a ring, taken from one end or the
// other.
#include <cerrno>

#include "vm/maps/map.h"

namespace mimicsh::vm {

namespace {

class QueueMap final : public VmMap {
  public:
    QueueMap(MapInfo info, ZeroedBytes storage) : VmMap(std::move(info)), storage_(std::move(storage)) {}

    Status lookup(ByteView key, ByteSpan value) override {
        if (auto ok = check_host_call("peek", key, value.size(), false); !ok) {
            return ok;
        }
        return peek(value.data()) == 0 ? Status{} : error(ENOENT, "peek", "nothing is in it");
    }

    Status take(ByteView key, ByteSpan value) override {
        if (auto ok = check_host_call("pop", key, value.size(), true); !ok) {
            return ok;
        }
        return pop(value.data(), nullptr) == 0 ? Status{} : error(ENOENT, "pop", "nothing is in it");
    }

    Status update(ByteView key, ByteView value, uint64_t flags) override {
        if (auto ok = check_host_call("push", key, value.size(), true); !ok) {
            return ok;
        }
        switch (push(value.data(), flags, nullptr)) {
        case 0:
            return {};
        case -E2BIG:
            return error(E2BIG, "push", "full (max_entries " + std::to_string(info_.max_entries) + ")");
        default:
            return error(EINVAL, "push", "bad flags");
        }
    }

    int64_t push(const uint8_t* value, uint64_t flags, Journal* journal) override {
        if (flags != abi::kAny && flags != abi::kExist) {
            return -EINVAL;
        }
        if (count_ == info_.max_entries && flags != abi::kExist) {
            return -E2BIG;
        }
        remember(journal);
        if (count_ == info_.max_entries) {
            first_ = (first_ + 1) % info_.max_entries; // the oldest goes, of a stack too
            --count_;
        }
        uint8_t* to = at(count_);
        if (journal != nullptr) {
            journal->bytes(to, info_.value_size);
        }
        std::memcpy(to, value, info_.value_size);
        ++count_;
        return 0;
    }

    int64_t pop(uint8_t* value, Journal* journal) override {
        const int64_t result = peek(value);
        if (result == 0) {
            remember(journal);
            --count_;
            first_ = is_stack() ? first_ : (first_ + 1) % info_.max_entries;
        }
        return result;
    }

    int64_t peek(uint8_t* value) override {
        if (count_ == 0) {
            std::memset(value, 0, info_.value_size);
            return -ENOENT;
        }
        std::memcpy(value, at(is_stack() ? count_ - 1 : 0), info_.value_size);
        return 0;
    }

    void undo(const Undo& change) override {
        first_ = change.a;
        count_ = change.b;
    }

  private:
    [[nodiscard]] bool is_stack() const { return info_.type == abi::MapType::Stack; }
    /// Place of value `index`, the oldest being 0.
    [[nodiscard]] uint8_t* at(uint32_t index) const {
        const uint64_t place = (uint64_t{first_} + index) % info_.max_entries;
        return storage_.data() + place * info_.value_size;
    }
    void remember(Journal* journal) {
        if (journal != nullptr) {
            journal->map_change(this, 0, first_, count_);
        }
    }

    ZeroedBytes storage_;
    uint32_t first_ = 0; ///< place of the oldest value
    uint32_t count_ = 0;
};

} // namespace

Expected<std::unique_ptr<VmMap>> create_queue(const MapInfo& info) {
    auto storage = ZeroedBytes::allocate(uint64_t{info.max_entries} * info.value_size);
    if (!storage) {
        return storage.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<QueueMap>(info, std::move(*storage)));
}

} // namespace mimicsh::vm
