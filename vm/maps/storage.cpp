// SPDX-License-Identifier: MIT
// Values that belong to sockets, tasks and cgroups.
#include "vm/maps/storage.h"

#include <cerrno>

namespace mimicsh::vm {

StorageMap::StorageMap(MapInfo info, uint32_t owners, ZeroedBytes storage)
    : VmMap(std::move(info)), storage_(std::move(storage)), current_(owners, kNoElement), last_(owners, 1) {
    values_ = storage_.data();
    host_stride_ = round_up(info_.value_size, 8u);
    elements_ = slots_ = 2 * owners;
}

uint32_t StorageMap::host_find(ByteView key) {
    const uint32_t owner = load<uint32_t>(key.data()) - 1;
    return owner < current_.size() ? current_[owner] : kNoElement;
}

Status StorageMap::update(ByteView key, ByteView value, uint64_t flags) {
    if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
        return ok;
    }
    const uint32_t owner = load<uint32_t>(key.data()) - 1;
    if (owner >= current_.size()) {
        return error(EBADF, "update", "the world has no owner with the number " + std::to_string(owner + 1));
    }
    const bool locks = (flags & abi::kLock) != 0;
    const uint64_t mode = flags & ~abi::kLock;
    if (mode > abi::kExist || (locks && !lock_offset())) {
        return error(EINVAL, "update", "bad flags");
    }
    const bool exists = current_[owner] != kNoElement;
    if (exists && mode == abi::kNoExist) {
        return error(EEXIST, "update", "the owner has a value");
    }
    if (!exists && mode == abi::kExist) {
        return error(ENOENT, "update", "the owner has no value");
    }
    if (exists && locks) {
        copy_in(current_[owner], value, false); // under the lock of the value, so in place
        return {};
    }
    (void)drop(owner, nullptr);
    (void)add(owner, value.data(), nullptr);
    deleted_in_run_ = false;
    return {};
}

Status StorageMap::erase(ByteView key) {
    if (auto ok = check_host_call("delete", key, host_value_size(info_), true); !ok) {
        return ok;
    }
    const uint32_t owner = load<uint32_t>(key.data()) - 1;
    if (owner >= current_.size() || !drop(owner, nullptr)) {
        return error(ENOENT, "delete", "the owner has no value");
    }
    deleted_in_run_ = false;
    return {};
}

Expected<bool> StorageMap::next_key(ByteView, ByteSpan) {
    return error(ENOTSUP, "next key", "storage belongs to its owners, it cannot be walked");
}

void StorageMap::set(uint32_t owner, uint32_t element, Journal* journal) {
    if (journal != nullptr) {
        journal->map_change(this, last_[owner], owner, current_[owner]);
    }
    current_[owner] = element;
    if (element != kNoElement) {
        last_[owner] = element & 1;
    }
}

void StorageMap::undo(const Undo& undo) {
    current_[undo.a] = undo.b;
    last_[undo.a] = undo.op;
}

uint32_t StorageMap::add(uint32_t owner, const uint8_t* value, Journal* journal) {
    const uint32_t element = 2 * owner + (last_[owner] ^ 1);
    uint8_t* bytes = this->value(element);
    if (journal != nullptr) {
        journal->bytes(bytes, info_.value_size);
    }
    if (value == nullptr) {
        std::memset(bytes, 0, info_.value_size);
    } else {
        write_value(bytes, value, true);
    }
    set(owner, element, journal);
    return element;
}

bool StorageMap::drop(uint32_t owner, Journal* journal) {
    if (current_[owner] == kNoElement) {
        return false;
    }
    const uint32_t element = current_[owner];
    set(owner, kNoElement, journal);
    release_fields(element, journal);
    deleted_in_run_ = true;
    return true;
}

CgroupStorageMap::CgroupStorageMap(MapInfo info, ZeroedBytes storage)
    : VmMap(std::move(info)), storage_(std::move(storage)) {
    values_ = storage_.data();
    host_stride_ = round_up(info_.value_size, 8u);
    slots_ = 1;
    elements_ = abi::is_percpu(info_.type) ? info_.cpus : 1;
}

Status CgroupStorageMap::update(ByteView key, ByteView value, uint64_t flags) {
    if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
        return ok;
    }
    if ((flags & ~abi::kLock) != abi::kAny && (flags & ~abi::kLock) != abi::kExist) {
        return error(EINVAL, "update", "bad flags");
    }
    return error(ENOENT, "update", "no cgroup has a program with this map");
}

Expected<bool> CgroupStorageMap::next_key(ByteView, ByteSpan) {
    return false;
}

void CgroupStorageMap::begin() {
    std::memset(values_, 0, size_t{elements_} * host_stride_);
}

Expected<std::unique_ptr<VmMap>> create_storage(const MapInfo& info, uint32_t owners) {
    auto bytes = ZeroedBytes::allocate(uint64_t{2} * owners * round_up(info.value_size, 8u));
    if (!bytes) {
        return bytes.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<StorageMap>(info, owners, std::move(*bytes)));
}

Expected<std::unique_ptr<VmMap>> create_cgroup_storage(const MapInfo& info) {
    const uint64_t copies = abi::is_percpu(info.type) ? info.cpus : 1;
    auto bytes = ZeroedBytes::allocate(copies * round_up(info.value_size, 8u));
    if (!bytes) {
        return bytes.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<CgroupStorageMap>(info, std::move(*bytes)));
}

} // namespace mimicsh::vm
