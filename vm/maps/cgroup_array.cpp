// SPDX-License-Identifier: MIT
// cgroup_array (kernel/bpf/arraymap.c): only the host writes it.
#include "vm/maps/cgroup_array.h"

#include <cerrno>

namespace mimicsh::vm {

Error CgroupArray::out_of_range(const char* op, uint32_t index) const {
    return error(E2BIG, op, "index " + std::to_string(index) + " of " + std::to_string(info_.max_entries));
}

Status CgroupArray::update(ByteView key, ByteView value, uint64_t flags) {
    if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
        return ok;
    }
    const auto index = load<uint32_t>(key.data());
    if (flags != abi::kAny) {
        return error(EINVAL, "update", "bad flags");
    }
    if (index >= cgroups_.size()) {
        return out_of_range("update", index);
    }
    cgroups_[index] = load<uint32_t>(value.data());
    return {};
}

Status CgroupArray::erase(ByteView key) {
    if (auto ok = check_host_call("delete", key, info_.value_size, true); !ok) {
        return ok;
    }
    const auto index = load<uint32_t>(key.data());
    if (index >= cgroups_.size()) {
        return out_of_range("delete", index);
    }
    if (!cgroups_[index]) {
        return error(ENOENT, "delete", "slot " + std::to_string(index) + " is empty");
    }
    cgroups_[index].reset();
    return {};
}

Status CgroupArray::lookup(ByteView key, ByteSpan value) {
    if (auto ok = check_host_call("look up", key, value.size(), false); !ok) {
        return ok;
    }
    return error(ENOTSUP, "look up", "a cgroup has no value to read");
}

Expected<bool> CgroupArray::next_key(ByteView key, ByteSpan next) {
    return next_index(key, next);
}

Expected<std::unique_ptr<VmMap>> create_cgroup_array(const MapInfo& info) {
    return std::unique_ptr<VmMap>(std::make_unique<CgroupArray>(info));
}

} // namespace mimicsh::vm
