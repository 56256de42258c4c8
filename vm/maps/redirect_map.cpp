// SPDX-License-Identifier: MIT
// devmap, devmap_hash (kernel/bpf/devmap.c), cpumap (cpumap.c) and xskmap (net/xdp/xskmap.c): where
// bpf_redirect_map can send a packet. Only the host writes them.
#include <cerrno>

#include "vm/maps/redirect_map.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kMaxQueue = 16384;

} // namespace

RedirectMap::RedirectMap(MapInfo info, ZeroedBytes storage, std::shared_ptr<const World> world)
    : VmMap(std::move(info)), owner(info_.type), storage_(std::move(storage)), world_(std::move(world)) {
    values_ = storage_.data();
    host_stride_ = round_up(info_.value_size, 8u);
    elements_ = slots_ = info_.max_entries;
    keys_.resize(info_.max_entries);
    is_set_.resize(info_.max_entries);
    programs_.resize(info_.max_entries);
    if (is_hash()) {
        uint32_t buckets = 1;
        while (buckets < info_.max_entries) {
            buckets <<= 1;
        }
        buckets_.resize(buckets);
    }
}

uint32_t RedirectMap::slot_of(uint32_t key) const {
    if (!is_hash()) {
        return key < info_.max_entries && is_set_[key] ? key : kNoElement;
    }
    for (const uint32_t slot : buckets_[key & (buckets_.size() - 1)]) {
        if (keys_[slot] == key) {
            return slot;
        }
    }
    return kNoElement;
}

Status RedirectMap::check_value(uint32_t key, uint32_t target, uint64_t flags) const {
    using abi::MapType;
    const bool has_old = slot_of(key) != kNoElement;
    if (flags > abi::kExist || (is_hash() && target == 0)) {
        return error(EINVAL, "update", flags > abi::kExist ? "bad flags" : "no interface has the index 0");
    }
    if (!is_hash() && key >= info_.max_entries) {
        return error(E2BIG, "update",
                     "index " + std::to_string(key) + " of " + std::to_string(info_.max_entries));
    }
    const bool exists = info_.type == MapType::Devmap || info_.type == MapType::Cpumap || has_old;
    if (flags == abi::kNoExist && exists) {
        return error(EEXIST, "update", "key exists");
    }
    if (info_.type == MapType::Xskmap) {
        return flags == abi::kExist && !has_old ? error(ENOENT, "update", "no such key") : Status{};
    }
    if (info_.type == MapType::Cpumap) {
        if (target > kMaxQueue) {
            return error(EOVERFLOW, "update", "a queue has at most " + std::to_string(kMaxQueue) + " places");
        }
        return key >= info_.cpus ? error(ENODEV, "update", "there is no CPU " + std::to_string(key))
                                 : Status{};
    }
    constexpr uint32_t kLoopback = 1;
    if (target != 0 && target != kLoopback && world_->find_interface(target) == nullptr) {
        return error(EINVAL, "update",
                     "the scripted world has no interface with the index " + std::to_string(target));
    }
    return {};
}

Status RedirectMap::update(ByteView key, ByteView value, uint64_t flags) {
    if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
        return ok;
    }
    const auto target = load<uint32_t>(value.data());
    if (value.size() > 4 && static_cast<int32_t>(load<uint32_t>(value.data() + 4)) > 0) {
        return error(ENOTSUP, "update", "a program is put with put_target, it has no descriptor here");
    }
    return put_entry(key, target, nullptr, flags);
}

std::vector<uint32_t> RedirectMap::keys_in_order() const {
    std::vector<uint32_t> keys;
    for (uint32_t key = 0; !is_hash() && key < info_.max_entries; ++key) {
        if (is_set_[key]) {
            keys.push_back(key);
        }
    }
    for (const auto& bucket : buckets_) {
        for (const uint32_t slot : bucket) {
            keys.push_back(keys_[slot]);
        }
    }
    return keys;
}

Program* RedirectMap::program(uint32_t key) const {
    const uint32_t slot = slot_of(key);
    return slot == kNoElement ? nullptr : programs_[slot];
}

bool RedirectMap::holds_programs() const {
    for (uint32_t slot = 0; slot < info_.max_entries; ++slot) {
        if (is_set_[slot] && programs_[slot] != nullptr) {
            return true;
        }
    }
    return false;
}

Status RedirectMap::put_target(ByteView key, uint32_t target, Program& program, uint64_t flags) {
    using abi::AttachType;
    constexpr uint32_t kWithProgram = 8;
    if (info_.value_size != kWithProgram) {
        return Map::put_target(key, target, program, flags);
    }
    if (auto ok = check_host_call("put target", key, info_.value_size, true); !ok) {
        return ok;
    }
    if (auto ok = check_value(load<uint32_t>(key.data()), target, flags); !ok) {
        return ok;
    }
    const bool is_cpu = info_.type == abi::MapType::Cpumap;
    if (target == 0) {
        return is_cpu ? put_entry(key, target, nullptr, flags)
                      : error(EINVAL, "put target", "no interface has the index 0");
    }
    const AttachType wanted = is_cpu ? AttachType::XdpCpumap : AttachType::XdpDevmap;
    if (program.type() != abi::ProgType::Xdp || program.linked().spec.attach_type != wanted ||
        !owner.claim(program.linked()).empty()) {
        return error(is_cpu ? ENOMEM : EINVAL, "put target",
                     program.name() + " is no program for this map (SEC(\"xdp/" +
                         (is_cpu ? "cpumap" : "devmap") + "\"), with fragments as those that use the map)");
    }
    return put_entry(key, target, &program, flags);
}

Status RedirectMap::put_entry(ByteView key, uint32_t target, Program* program, uint64_t flags) {
    const auto index = load<uint32_t>(key.data());
    if (auto ok = check_value(index, target, flags); !ok) {
        return ok;
    }
    uint32_t slot = slot_of(index);
    if (is_hash()) {
        auto& bucket = buckets_[index & (buckets_.size() - 1)];
        if (slot != kNoElement) {
            std::erase(bucket, slot);
        } else if (slot = take_free(); slot == kNoElement) {
            return error(E2BIG, "update",
                         "map is full (max_entries " + std::to_string(info_.max_entries) + ")");
        }
        bucket.insert(bucket.begin(), slot);
    } else {
        slot = index;
    }
    // A target of 0 empties the slot of an array; a socket's number means nothing.
    is_set_[slot] = target != 0 || info_.type == abi::MapType::Xskmap;
    keys_[slot] = index;
    programs_[slot] = program;
    std::memset(this->value(slot), 0, info_.value_size);
    store(this->value(slot), target);
    if (program != nullptr) {
        store(this->value(slot) + sizeof target, static_cast<const LoadedProgram*>(program)->id());
    }
    return {};
}

uint32_t RedirectMap::take_free() {
    if (free_.empty()) {
        return fresh_ < info_.max_entries ? fresh_++ : kNoElement;
    }
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
}

Status RedirectMap::lookup(ByteView key, ByteSpan value) {
    if (info_.type == abi::MapType::Xskmap) {
        return error(EOPNOTSUPP, "look up", "a socket has no value to read");
    }
    return VmMap::lookup(key, value);
}

Status RedirectMap::erase(ByteView key) {
    if (auto ok = check_host_call("delete", key, info_.value_size, true); !ok) {
        return ok;
    }
    const auto index = load<uint32_t>(key.data());
    const uint32_t slot = slot_of(index);
    if (is_hash()) {
        if (slot == kNoElement) {
            return error(ENOENT, "delete", "no such key");
        }
        std::erase(buckets_[index & (buckets_.size() - 1)], slot);
        free_.push_back(slot);
    } else if (index >= info_.max_entries) {
        return error(EINVAL, "delete",
                     "index " + std::to_string(index) + " of " + std::to_string(info_.max_entries));
    }
    if (slot != kNoElement) {
        is_set_[slot] = false;
    }
    return {};
}

Expected<bool> RedirectMap::next_key(ByteView key, ByteSpan next) {
    if (!is_hash()) {
        return next_index(key, next);
    }
    uint32_t at = 0;
    if (key.size() == 4) {
        const auto index = load<uint32_t>(key.data());
        const auto& bucket = buckets_[index & (buckets_.size() - 1)];
        for (size_t i = 0; i < bucket.size(); ++i) {
            if (keys_[bucket[i]] == index) {
                if (i + 1 < bucket.size()) {
                    store(next.data(), keys_[bucket[i + 1]]);
                    return true;
                }
                at = (index & static_cast<uint32_t>(buckets_.size() - 1)) + 1;
            }
        }
    }
    for (; at < buckets_.size(); ++at) {
        if (!buckets_[at].empty()) {
            store(next.data(), keys_[buckets_[at].front()]);
            return true;
        }
    }
    return false;
}

uint32_t RedirectMap::find(const uint8_t* key, uint32_t, Journal*) {
    return slot_of(load<uint32_t>(key));
}

Expected<std::unique_ptr<VmMap>> create_redirect_map(const MapInfo& info,
                                                     std::shared_ptr<const World> world) {
    auto storage = ZeroedBytes::allocate(uint64_t{info.max_entries} * round_up(info.value_size, 8u));
    if (!storage) {
        return storage.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<RedirectMap>(info, std::move(*storage), std::move(world)));
}

} // namespace mimicsh::vm
