// SPDX-License-Identifier: MIT
// Storage that belongs to sockets, tasks and cgroups (net/core/bpf_sk_storage.c,
// kernel/bpf/bpf_task_storage.c, bpf_cgrp_storage.c and cgroup.c).
#include "vm/maps/storage.h"

#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"

namespace mimicsh::vm {

namespace {

constexpr uint64_t kCreate = 1; // BPF_LOCAL_STORAGE_GET_F_CREATE
constexpr uint32_t kSkGet = 107, kSkDelete = 108, kTaskGet = 156, kTaskDelete = 157, kCgroupGet = 210,
                   kCgroupDelete = 211, kLocalStorage = 81;

/// The value of an owner, made when it is missing and `flags` say so.
uint64_t get(Machine& machine, StorageMap& map, uint32_t owner, uint64_t initial, uint64_t flags) {
    uint32_t element = map.element(owner);
    if (element == kNoElement && (flags & kCreate) != 0) {
        const uint8_t* value = nullptr;
        if (initial != 0) {
            value = machine.span(initial, map.info().value_size, Access::Read, "initial value");
            if (value == nullptr) {
                return 0;
            }
        }
        element = map.add(owner, value, &machine.journal);
    }
    return element == kNoElement ? 0 : map.open_window(machine.regions, element);
}

uint64_t drop(Machine& machine, StorageMap& map, uint32_t owner) {
    if (!map.drop(owner, &machine.journal)) {
        return errno_result(-ENOENT);
    }
    machine.close_windows(map);
    return 0;
}

/// Whether the argument is the task or cgroup; neither and not null: a fault is pending.
bool is_struct(Machine& machine, uint64_t addr, KernelStruct wanted, uint32_t helper) {
    const uint32_t handle = handle_of(addr);
    if (addr != 0 && handle < machine.regions.size() && offset_of(addr) == 0) {
        const Region& region = machine.regions.at(handle);
        if (region.kind == RegionKind::KernelStruct && region.shift == static_cast<uint8_t>(wanted)) {
            return true;
        }
    }
    if (addr != 0) {
        machine.fault(FaultKind::BadCall,
                      "bpf_" + std::string(abi::helper_name(helper)) + ": the second argument is no struct " +
                          std::string(struct_name(wanted)),
                      {}, addr);
    }
    return false;
}

uint64_t get_of_struct(Machine& machine, const uint64_t* args, KernelStruct kind, uint32_t helper) {
    auto* map = static_cast<StorageMap*>(map_argument(machine, args[0], helper));
    if (map == nullptr || !is_struct(machine, args[1], kind, helper) || (args[3] & ~kCreate) != 0) {
        return 0;
    }
    return get(machine, *map, 0, args[2], args[3]);
}

uint64_t delete_of_struct(Machine& machine, const uint64_t* args, KernelStruct kind, uint32_t helper) {
    auto* map = static_cast<StorageMap*>(map_argument(machine, args[0], helper));
    if (map == nullptr) {
        return 0;
    }
    if (!is_struct(machine, args[1], kind, helper)) {
        return errno_result(-EINVAL);
    }
    return drop(machine, *map, 0);
}

} // namespace

uint64_t helper_sk_storage_get(Machine& machine, const uint64_t* args) {
    auto* map = static_cast<StorageMap*>(map_argument(machine, args[0], kSkGet));
    if (map == nullptr || args[1] == 0) {
        return 0;
    }
    const auto owner = full_socket(machine, args[1], "bpf_sk_storage_get");
    return !owner || args[3] > kCreate ? 0 : get(machine, *map, *owner, args[2], args[3]);
}

uint64_t helper_sk_storage_delete(Machine& machine, const uint64_t* args) {
    auto* map = static_cast<StorageMap*>(map_argument(machine, args[0], kSkDelete));
    if (map == nullptr) {
        return 0;
    }
    const auto owner = args[1] == 0 ? std::nullopt : full_socket(machine, args[1], "bpf_sk_storage_delete");
    return owner ? drop(machine, *map, *owner) : errno_result(-EINVAL);
}

uint64_t helper_task_storage_get(Machine& machine, const uint64_t* args) {
    return get_of_struct(machine, args, KernelStruct::Task, kTaskGet);
}

uint64_t helper_task_storage_delete(Machine& machine, const uint64_t* args) {
    return delete_of_struct(machine, args, KernelStruct::Task, kTaskDelete);
}

uint64_t helper_cgrp_storage_get(Machine& machine, const uint64_t* args) {
    return get_of_struct(machine, args, KernelStruct::Cgroup, kCgroupGet);
}

uint64_t helper_cgrp_storage_delete(Machine& machine, const uint64_t* args) {
    return delete_of_struct(machine, args, KernelStruct::Cgroup, kCgroupDelete);
}

uint64_t helper_get_local_storage(Machine& machine, const uint64_t* args) {
    VmMap* map = map_argument(machine, args[0], kLocalStorage);
    if (map == nullptr) {
        return 0;
    }
    if (args[1] != 0) {
        return machine.fault(FaultKind::BadCall, "bpf_get_local_storage: the flags must be 0");
    }
    return map->open_window(machine.regions, map->element_of(0, machine.cpu));
}

} // namespace mimicsh::vm
