// SPDX-License-Identifier: MIT
// bpf_spin_lock and bpf_spin_unlock: that they pair, and, where several CPUs share the maps, that they
// exclude.
#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

/// Map whose value has its lock at this address; null and a fault when there is none.
const VmMap* lock_map(Machine& machine, uint64_t addr, const char* helper) {
    const uint32_t handle = handle_of(addr);
    if (handle < machine.regions.size() && machine.regions.at(handle).kind == RegionKind::MapValues) {
        const Region& region = machine.regions.at(handle);
        const VmMap& map = *machine.maps()[region.owner];
        const uint64_t within = static_cast<uint64_t>(offset_of(addr)) & ((uint64_t{1} << region.shift) - 1);
        if (map.lock_offset() == within) {
            return machine.span(addr, 4, Access::Read, "lock") != nullptr ? &map : nullptr;
        }
    }
    machine.fault(FaultKind::BadCall,
                  std::string(helper) + ": the argument is no bpf_spin_lock of a map value", {}, addr);
    return nullptr;
}

} // namespace

uint64_t helper_spin_lock(Machine& machine, const uint64_t* args) {
    const VmMap* map = lock_map(machine, args[0], "bpf_spin_lock");
    if (map == nullptr) {
        return 0;
    }
    if (machine.held_lock) {
        return machine.fault(FaultKind::BadCall,
                             machine.held_lock->address == args[0]
                                 ? "bpf_spin_lock: the program holds this lock already"
                                 : "bpf_spin_lock: the program holds the lock in a value of map " +
                                       machine.held_lock->map + ", and only one can be held at a time",
                             "unlock what was locked at instruction " +
                                 std::to_string(machine.held_lock->slot) + " first");
    }
    const void* host = machine.span(args[0], 4, Access::Read, "lock");
    if (machine.group != nullptr && !machine.group->acquire(machine, host)) {
        return 0;
    }
    machine.note_effect();
    machine.held_lock = Machine::HeldLock{args[0], machine.code->slot_of(machine.at), map->info().name, host};
    return 0;
}

uint64_t helper_spin_unlock(Machine& machine, const uint64_t* args) {
    if (lock_map(machine, args[0], "bpf_spin_unlock") == nullptr) {
        return 0;
    }
    if (!machine.held_lock || machine.held_lock->address != args[0]) {
        return machine.fault(FaultKind::BadCall, "bpf_spin_unlock: the program does not hold this lock");
    }
    if (machine.group != nullptr) {
        machine.group->release(machine.held_lock->host);
    }
    machine.held_lock.reset();
    return 0;
}

} // namespace mimicsh::vm
