// SPDX-License-Identifier: MIT
// Map look-up, update and delete (kernel/bpf/helpers.c).
#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

/// Look-up in the map that args[0] names; 0 when the key is absent or the arguments are bad.
uint64_t look_up(Machine& machine, const uint64_t* args, uint32_t cpu, const char* name) {
    VmMap* map = machine.map_at(args[0], name);
    if (map == nullptr) {
        return 0;
    }
    return machine.look_up(*map, args[1], cpu);
}

} // namespace

uint64_t helper_map_lookup_elem(Machine& machine, const uint64_t* args) {
    return look_up(machine, args, machine.cpu, "bpf_map_lookup_elem");
}

uint64_t helper_map_lookup_percpu_elem(Machine& machine, const uint64_t* args) {
    const auto cpu = static_cast<uint32_t>(args[2]);
    VmMap* map = machine.map_at(args[0], "bpf_map_lookup_percpu_elem");
    if (map == nullptr) {
        return 0;
    }
    if (!abi::is_percpu(map->info().type)) {
        return machine.fault(FaultKind::BadCall,
                             "bpf_map_lookup_percpu_elem: " + map->info().name + " is no per-CPU map");
    }
    return cpu < machine.options.cpus ? look_up(machine, args, cpu, "bpf_map_lookup_percpu_elem") : 0;
}

uint64_t helper_map_update_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = machine.map_at(args[0], "bpf_map_update_elem");
    if (map == nullptr) {
        return 0;
    }
    const uint8_t* key = machine.span(args[1], map->info().key_size, Access::Read, "map key");
    const uint8_t* value =
        key == nullptr ? nullptr : machine.span(args[2], map->info().value_size, Access::Read, "map value");
    if (value == nullptr) {
        return 0;
    }
    if ((map->info().flags & abi::kMapRdonlyProg) != 0) {
        return machine.fault(FaultKind::Permission,
                             "bpf_map_update_elem: programs may only read " + map->info().name);
    }
    return errno_result(map->put(key, value, args[3], machine.cpu, &machine.journal));
}

uint64_t helper_map_delete_elem(Machine& machine, const uint64_t* args) {
    VmMap* map = machine.map_at(args[0], "bpf_map_delete_elem");
    if (map == nullptr) {
        return 0;
    }
    const uint8_t* key = machine.span(args[1], map->info().key_size, Access::Read, "map key");
    if (key == nullptr) {
        return 0;
    }
    if ((map->info().flags & abi::kMapRdonlyProg) != 0) {
        return machine.fault(FaultKind::Permission,
                             "bpf_map_delete_elem: programs may only read " + map->info().name);
    }
    const int64_t result = map->remove(key, &machine.journal);
    if (result == 0) {
        machine.close_windows(*map);
    }
    return errno_result(result);
}

} // namespace mimicsh::vm
