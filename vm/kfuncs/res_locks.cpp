// SPDX-License-Identifier: MIT
// Resilient locks and disabled interrupts (kernel/bpf/rqspinlock.c, kernel/bpf/helpers.c): order and balance,
// and, where several CPUs share the maps, that the locks exclude.
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/graph.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

constexpr const char* kIrq = "section without interrupts";
constexpr const char* kLockedIrq = "section without interrupts of a lock";

bool is_irq(const Section& section) {
    return section.kind == kIrq || section.kind == kLockedIrq;
}

/// Enters the section and leaves in the program's eight bytes what names it.
void save_irq(Machine& machine, uint64_t flags, const char* kind) {
    uint8_t* bytes = machine.span(flags, 8, Access::Write, "flags");
    if (bytes == nullptr) {
        return;
    }
    uint64_t id = 1;
    if (!spend_on(machine, machine.sections.size())) {
        return;
    }
    for (const Section& section : machine.sections) {
        id = std::max(id, section.id + 1);
    }
    machine.note_effect();
    machine.sections.push_back({kind, machine.code->slot_of(machine.at), id});
    mimicsh::store(bytes, id);
}

/// Leaves the section that the bytes name, which has to be the last one entered.
void restore_irq(Machine& machine, uint64_t flags, const char* kind, const char* name) {
    const uint8_t* bytes = machine.span(flags, 8, Access::Read, "flags");
    if (bytes == nullptr) {
        return;
    }
    if (!spend_on(machine, machine.sections.size())) {
        return;
    }
    const auto last = std::find_if(machine.sections.rbegin(), machine.sections.rend(), is_irq);
    if (last == machine.sections.rend() || last->kind != kind || last->id != mimicsh::load<uint64_t>(bytes)) {
        machine.fault(FaultKind::Strict,
                      std::string(name) + ": the flags are not those that were saved last");
        return;
    }
    machine.sections.erase(std::next(last).base());
}

/// Host address of the resilient lock at an address; null and a fault when there is none.
const uint8_t* lock_at(Machine& machine, uint64_t addr, const char* name) {
    if (!has_field_at(machine, addr, HiddenField::Kind::ResSpinLock)) {
        machine.fault(FaultKind::BadCall,
                      std::string(name) + ": the argument is no bpf_res_spin_lock of a map value or object",
                      {}, addr);
        return nullptr;
    }
    return machine.kernel_field(addr, 4, "lock");
}

/// Name of the map whose value an address is in, empty for an object.
std::string map_of(const Machine& machine, uint64_t addr) {
    const Region& region = machine.regions.at(handle_of(addr));
    return region.kind == RegionKind::MapValues ? machine.maps()[region.owner]->info().name : std::string();
}

uint64_t lock(Machine& machine, uint64_t addr, const char* name) {
    const uint8_t* host = lock_at(machine, addr, name);
    if (host == nullptr) {
        return 0;
    }
    const auto& held = machine.resilient_locks;
    if (!spend_on(machine, held.size())) {
        return 0;
    }
    if (std::ranges::find(held, addr, &Machine::HeldLock::address) != held.end()) {
        return errno_result(-EDEADLK);
    }
    if (const int code = machine.group == nullptr ? 0 : machine.group->acquire_resilient(machine, host);
        code != 0 || machine.faulted()) {
        return errno_result(code);
    }
    machine.note_effect();
    machine.resilient_locks.push_back({addr, machine.code->slot_of(machine.at), map_of(machine, addr), host});
    return 0;
}

void unlock(Machine& machine, uint64_t addr, const char* name) {
    if (lock_at(machine, addr, name) == nullptr) {
        return;
    }
    if (machine.resilient_locks.empty() || machine.resilient_locks.back().address != addr) {
        machine.fault(FaultKind::Strict, std::string(name) + ": this is not the lock that was taken last");
        return;
    }
    if (machine.group != nullptr) {
        machine.group->release(machine.resilient_locks.back().host);
    }
    machine.resilient_locks.pop_back();
}

} // namespace

uint64_t kfunc_res_spin_lock(Machine& machine, const uint64_t* args) {
    return lock(machine, args[0], "bpf_res_spin_lock");
}

uint64_t kfunc_res_spin_unlock(Machine& machine, const uint64_t* args) {
    unlock(machine, args[0], "bpf_res_spin_unlock");
    return 0;
}

uint64_t kfunc_res_spin_lock_irqsave(Machine& machine, const uint64_t* args) {
    const uint64_t result = lock(machine, args[0], "bpf_res_spin_lock_irqsave");
    if (result == 0 && !machine.faulted()) {
        save_irq(machine, args[1], kLockedIrq);
    }
    return result;
}

uint64_t kfunc_res_spin_unlock_irqrestore(Machine& machine, const uint64_t* args) {
    unlock(machine, args[0], "bpf_res_spin_unlock_irqrestore");
    if (!machine.faulted()) {
        restore_irq(machine, args[1], kLockedIrq, "bpf_res_spin_unlock_irqrestore");
    }
    return 0;
}

uint64_t kfunc_local_irq_save(Machine& machine, const uint64_t* args) {
    save_irq(machine, args[0], kIrq);
    return 0;
}

uint64_t kfunc_local_irq_restore(Machine& machine, const uint64_t* args) {
    restore_irq(machine, args[0], kIrq, "bpf_local_irq_restore");
    return 0;
}

} // namespace mimicsh::vm
