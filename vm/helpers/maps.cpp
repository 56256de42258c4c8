// SPDX-License-Identifier: MIT
// Helpers on all kinds of maps (kernel/bpf/helpers.c).
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/support.h"

namespace mimicsh::vm {

namespace {

/// Looking for a map's entries counts as steps of the budget.
constexpr uint32_t kEntriesPerStep = 64;

constexpr uint32_t kLookup = 1, kUpdate = 2, kDelete = 3, kPush = 87, kPop = 88, kPeek = 89, kForEach = 164,
                   kLookupPercpu = 195;

std::string full_name(uint32_t helper) {
    return "bpf_" + std::string(abi::helper_name(helper));
}

/// Map that a helper is about to change.
VmMap* writable_map(Machine& machine, uint64_t addr, uint32_t helper) {
    VmMap* map = map_argument(machine, addr, helper);
    if (map != nullptr && (map->info().flags & abi::kMapRdonlyProg) != 0) {
        machine.fault(FaultKind::Permission,
                      full_name(helper) + ": programs may only read " + map->info().name);
        return nullptr;
    }
    return map;
}

/// What an operation on a map came to.
uint64_t result_of(Machine& machine, VmMap& map, int64_t code) {
    return machine.check_backed(map) ? errno_result(code) : 0;
}

} // namespace

VmMap* map_argument(Machine& machine, uint64_t addr, uint32_t helper) {
    VmMap* map = machine.find_map(addr);
    if (map == nullptr) {
        return machine.map_at(addr, full_name(helper).c_str());
    }
    if (!helper_takes_map(helper, map->type())) {
        machine.fault(FaultKind::BadCall, full_name(helper) + " cannot be called on " + map->info().name +
                                              ", a map of type " + std::string(abi::name(map->type())));
        return nullptr;
    }
    return map;
}

uint64_t helper_map_lookup_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = map_argument(machine, args[0], kLookup);
    if (map == nullptr) {
        return 0;
    }
    if (is_sock_map(map->type())) {
        return look_up_socket(machine, static_cast<SockMap&>(*map), args[1]);
    }
    if (!abi::holds_maps(map->type())) {
        return machine.look_up(*map, args[1], machine.cpu);
    }
    const uint8_t* key = machine.span(args[1], map->key_size(), Access::Read, "map key");
    const VmMap* inner = key == nullptr ? nullptr : map->inner(key);
    return inner == nullptr ? 0 : make_addr(inner->handle(), 0);
}

uint64_t helper_map_lookup_percpu_elem(Machine& machine, const uint64_t* args) {
    const auto cpu = static_cast<uint32_t>(args[2]);
    VmMap* map = map_argument(machine, args[0], kLookupPercpu);
    return map == nullptr || cpu >= machine.options.cpus ? 0 : machine.look_up(*map, args[1], cpu);
}

uint64_t helper_map_update_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = writable_map(machine, args[0], kUpdate);
    if (map == nullptr) {
        return 0;
    }
    if (is_sock_map(map->type())) {
        return update_socket(machine, static_cast<SockMap&>(*map), args);
    }
    const uint8_t* key = machine.span(args[1], map->key_size(), Access::Read, "map key");
    const uint8_t* value =
        key == nullptr ? nullptr : machine.span(args[2], map->info().value_size, Access::Read, "map value");
    if (value == nullptr) {
        return 0;
    }
    return result_of(machine, *map, map->put(key, value, args[3], machine.cpu, &machine.journal));
}

uint64_t helper_map_delete_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = writable_map(machine, args[0], kDelete);
    const uint8_t* key =
        map == nullptr ? nullptr : machine.span(args[1], map->key_size(), Access::Read, "map key");
    if (key == nullptr) {
        return 0;
    }
    const int64_t result = map->remove(key, &machine.journal);
    if (result == 0) {
        machine.close_windows(*map);
    }
    return result_of(machine, *map, result);
}

uint64_t kfunc_map_sum_elem_count(Machine& machine, const uint64_t* args) {
    VmMap* map = machine.map_at(args[0], "bpf_map_sum_elem_count");
    if (map == nullptr) {
        return 0;
    }
    std::unique_lock<std::mutex> lock;
    if (machine.concurrent) {
        lock = std::unique_lock(machine.group->maps);
    }
    switch (map->type()) { // only these count
    case abi::MapType::Hash:
    case abi::MapType::PercpuHash:
    case abi::MapType::LruHash:
    case abi::MapType::LruPercpuHash:
        if (!machine.spend(map->info().max_entries / kEntriesPerStep)) {
            return 0;
        }
        return result_of(machine, *map, static_cast<int64_t>(map->entries()->size()));
    default:
        return 0;
    }
}

// -- Queues, stacks, bloom filters --

uint64_t helper_map_push_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = writable_map(machine, args[0], kPush);
    const uint8_t* value =
        map == nullptr ? nullptr : machine.span(args[1], map->info().value_size, Access::Read, "map value");
    return value == nullptr ? 0 : result_of(machine, *map, map->push(value, args[2], &machine.journal));
}

uint64_t helper_map_pop_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = writable_map(machine, args[0], kPop);
    uint8_t* value =
        map == nullptr ? nullptr : machine.span(args[1], map->info().value_size, Access::Write, "map value");
    return value == nullptr ? 0 : result_of(machine, *map, map->pop(value, &machine.journal));
}

uint64_t helper_map_peek_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = map_argument(machine, args[0], kPeek);
    if (map == nullptr) {
        return 0;
    }
    const Access access = map->type() == abi::MapType::BloomFilter ? Access::Read : Access::Write;
    uint8_t* value = machine.span(args[1], map->info().value_size, access, "map value");
    return value == nullptr ? 0 : result_of(machine, *map, map->peek(value));
}

// -- Walking --

uint64_t helper_for_each_map_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = map_argument(machine, args[0], kForEach);
    if (map == nullptr) {
        return 0;
    }
    if (args[3] != 0) {
        return errno_result(-EINVAL);
    }
    const uint64_t callback = args[1];
    const uint64_t context = args[2];
    const uint64_t object = args[0];
    if (!machine.spend(map->info().max_entries / kEntriesPerStep)) {
        return 0;
    }
    const auto slots = map->entries();
    if (!machine.check_backed(*map)) {
        return 0;
    }
    ByteVec key(map->key_size());
    Region region;
    region.kind = RegionKind::MapKey;
    region.host = key.data();
    region.size = region.load_limit = map->key_size();
    region.readable = true;
    region.birth = machine.code->slot_of(machine.at);
    machine.note_effect();
    const uint32_t handle = machine.regions.add(region);
    uint64_t count = 0;
    bool goes_on = true;
    for (auto slot = slots->begin(); goes_on && slot != slots->end(); ++slot) {
        const uint32_t element = map->element_of(*slot, machine.cpu);
        if (!map->refresh(element)) {
            continue; // the callback deleted it
        }
        map->copy_key(*slot, key.data());
        const uint64_t value = map->open_window(machine.regions, element);
        ++count;
        const auto result = machine.call_back(callback, {object, make_addr(handle, 0), value, context, 0},
                                              "bpf_for_each_map_elem");
        goes_on = result == uint64_t{0};
    }
    machine.regions.kill(handle, "bpf_for_each_map_elem");
    return machine.check_backed(*map) ? count : 0;
}

} // namespace mimicsh::vm
