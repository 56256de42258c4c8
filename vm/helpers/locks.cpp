// SPDX-License-Identifier: MIT
// bpf_spin_lock and bpf_spin_unlock: that they pair, and, where several CPUs share the maps, that they
// exclude.
#include <algorithm>

#include "vm/guards.h"
#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

/// Name of the map whose value has its lock at this address, empty for an object; nothing and a fault when
/// there is no lock.
std::optional<std::string> lock_place(Machine& machine, uint64_t addr, const char* helper) {
    const uint32_t handle = handle_of(addr);
    const RegionKind kind =
        handle < machine.regions.size() ? machine.regions.at(handle).kind : RegionKind::Null;
    const auto offset = static_cast<uint64_t>(offset_of(addr));
    std::optional<std::string> found;
    if (kind == RegionKind::MapValues) {
        const Region& region = machine.regions.at(handle);
        const VmMap& map = *machine.maps()[region.owner];
        if (map.lock_offset() == (offset & ((uint64_t{1} << region.shift) - 1))) {
            found = map.info().name;
        }
    } else if (kind == RegionKind::Object) {
        const HeapObject& object = machine.heap.at(machine.regions.at(handle).owner);
        const auto& fields = machine.heap.type(object.type).fields;
        if (std::ranges::any_of(fields, [&](const HiddenField& field) {
                return field.kind == HiddenField::Kind::SpinLock && field.offset == offset;
            })) {
            found = std::string();
        }
    }
    if (!found) {
        machine.fault(FaultKind::BadCall,
                      std::string(helper) + ": the argument is no bpf_spin_lock of a map value or object", {},
                      addr);
        return std::nullopt;
    }
    return machine.kernel_field(addr, 4, "lock") != nullptr ? found : std::nullopt;
}

} // namespace

uint64_t helper_spin_lock(Machine& machine, const uint64_t* args) {
    const auto place = lock_place(machine, args[0], "bpf_spin_lock");
    if (!place) {
        return 0;
    }
    if (machine.held_lock) {
        return machine.fault(FaultKind::BadCall,
                             machine.held_lock->address == args[0]
                                 ? "bpf_spin_lock: the program holds this lock already"
                                 : "bpf_spin_lock: the program holds " + lock_text(*machine.held_lock) +
                                       ", and only one can be held at a time",
                             "unlock what was locked at instruction " +
                                 std::to_string(machine.held_lock->slot) + " first");
    }
    const void* host = machine.kernel_field(args[0], 4, "lock");
    if (machine.group != nullptr && !machine.group->acquire(machine, host)) {
        return 0;
    }
    machine.note_effect();
    machine.held_lock = Machine::HeldLock{args[0], machine.code->slot_of(machine.at), *place, host};
    return 0;
}

uint64_t helper_spin_unlock(Machine& machine, const uint64_t* args) {
    if (!lock_place(machine, args[0], "bpf_spin_unlock")) {
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
