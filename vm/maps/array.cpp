// SPDX-License-Identifier: MIT
// array and percpu_array (kernel/bpf/arraymap.c): every element is there from the start.
#include <cerrno>
#include <numeric>

#include "vm/maps/map.h"

namespace mimicsh::vm {

namespace {

class ArrayMap final : public VmMap {
  public:
    ArrayMap(MapInfo info, ZeroedBytes storage, uint32_t elements)
        : VmMap(std::move(info)), storage_(std::move(storage)) {
        values_ = storage_.data();
        host_stride_ = round_up(info_.value_size, 8u);
        elements_ = elements;
        slots_ = info_.max_entries;
        percpu_ = abi::is_percpu(info_.type);
    }

    Status update(ByteView key, ByteView value, uint64_t flags) override {
        if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
            return ok;
        }
        const bool locks = (flags & abi::kLock) != 0;
        if ((flags & ~abi::kLock) > abi::kExist || (locks && !lock_offset())) {
            return error(EINVAL, "update", locks ? "values have no lock" : "bad flags");
        }
        const uint32_t slot = host_find(key);
        if (slot == kNoElement) {
            return error(E2BIG, "update",
                         "index " + std::to_string(load<uint32_t>(key.data())) + " of " +
                             std::to_string(info_.max_entries));
        }
        if ((flags & abi::kNoExist) != 0) {
            return error(EEXIST, "update", "every array element exists");
        }
        copy_in(slot, value, false);
        release_slot(slot, nullptr);
        return {};
    }

    Expected<bool> next_key(ByteView key, ByteSpan next) override { return next_index(key, next); }

    uint32_t find(const uint8_t* key, uint32_t cpu, Journal*) override {
        const auto index = load<uint32_t>(key);
        if (index >= info_.max_entries) {
            return kNoElement;
        }
        return percpu_ ? cpu * info_.max_entries + index : index;
    }

    int64_t put(const uint8_t* key, const uint8_t* value, uint64_t flags, uint32_t cpu,
                Journal* journal) override {
        if ((flags & ~abi::kLock) > abi::kExist) {
            return -EINVAL;
        }
        const uint32_t element = find(key, cpu, journal);
        if (element == kNoElement) {
            return -E2BIG;
        }
        if ((flags & abi::kNoExist) != 0) {
            return -EEXIST;
        }
        if ((flags & abi::kLock) != 0 && !lock_offset()) {
            return -EINVAL;
        }
        if (journal != nullptr) {
            journal->bytes(this->value(element), info_.value_size);
        }
        write_value(this->value(element), value, false);
        release_fields(element, journal);
        return 0;
    }

    std::optional<std::vector<uint32_t>> entries() override {
        std::vector<uint32_t> all(info_.max_entries);
        std::iota(all.begin(), all.end(), 0u);
        return all;
    }

    void copy_key(uint32_t slot, uint8_t* to) const override { mimicsh::store(to, slot); }

    ByteSpan live_bytes() override {
        if (!hidden_.empty()) {
            return {};
        }
        if (percpu_ || host_stride_ != info_.value_size) {
            return info_.max_entries == 1 && !percpu_ ? ByteSpan{values_, info_.value_size} : ByteSpan{};
        }
        return {values_, size_t{host_stride_} * info_.max_entries};
    }

  protected:
    uint32_t host_find(ByteView key) override {
        const auto index = load<uint32_t>(key.data());
        return index < info_.max_entries ? index : kNoElement;
    }

  private:
    ZeroedBytes storage_;
    bool percpu_ = false;
};

} // namespace

Expected<std::unique_ptr<VmMap>> create_array(const MapInfo& info) {
    const uint32_t elements = info.max_entries * (abi::is_percpu(info.type) ? info.cpus : 1);
    auto storage = ZeroedBytes::allocate(uint64_t{elements} * round_up(info.value_size, 8u));
    if (!storage) {
        return storage.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<ArrayMap>(info, std::move(*storage), elements));
}

} // namespace mimicsh::vm
