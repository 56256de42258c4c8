// SPDX-License-Identifier: MIT
// What the kernel's verifier finds on one path among others, found when a run takes that path.
#include "vm/guards.h"

#include <algorithm>
#include <array>

#include "vm/program.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

/// A call, or BPF_LD_ABS and its like, in a message.
std::string subject(const LinkedProgram& program, uint32_t slot) {
    const Insn& insn = program.insns[slot];
    if (insn.code != (op::kJmp | op::kCall)) {
        return "BPF_LD_ABS or BPF_LD_IND";
    }
    if (insn.src == 0) {
        return "bpf_" + std::string(abi::helper_name(static_cast<uint32_t>(insn.imm)));
    }
    const auto ref = std::ranges::find(program.refs, slot, &LinkedRef::insn);
    return ref == program.refs.end() ? "kernel function" : program.object->externs[ref->target].name;
}

/// The instruction that is about to run.
std::string subject(const Machine& machine) {
    return subject(machine.code->program->linked(), machine.code->slot_of(machine.at));
}

std::string line_of(const Machine& machine, uint32_t slot) {
    return at_line(machine.code->program->linked(), slot);
}

const Machine::HeldLock* held_lock(const Machine& machine) {
    return machine.held_lock                  ? &*machine.held_lock
           : !machine.resilient_locks.empty() ? &machine.resilient_locks.back()
                                              : nullptr;
}

std::string taken_at(const Machine& machine, const Machine::HeldLock& lock) {
    return lock_text(lock) + ", taken at " + line_of(machine, lock.slot);
}

} // namespace

std::string lock_text(const Machine::HeldLock& lock) {
    return lock.map.empty() ? "the lock in an object" : "the lock in a value of map " + lock.map;
}

uint64_t guard_no_lock(Machine& machine, const uint64_t*) {
    if (const Machine::HeldLock* lock = held_lock(machine); lock != nullptr) {
        machine.fault(FaultKind::Strict,
                      subject(machine) + " is called while the program holds " + taken_at(machine, *lock),
                      "call it before the lock is taken or after it is given back");
    }
    return machine.regs[0];
}

uint64_t guard_not_null(Machine& machine, const uint64_t*) {
    const Op& op = *machine.at;
    if (machine.regs[op.dst] != 0) {
        std::string origin;
        if (const auto slot = static_cast<uint32_t>(op.c); slot != 0) {
            const LinkedProgram& program = machine.code->program->linked();
            const bool is_call = program.insns[slot].code == (op::kJmp | op::kCall);
            origin = (is_call ? ", which " + subject(program, slot) + " returned at " : ", loaded at ") +
                     line_of(machine, slot);
        }
        machine.warn("r" + std::to_string(op.dst) + origin + ", is used without a comparison with NULL",
                     true);
    }
    return machine.regs[0];
}

void want_packet_access(Machine& machine, uint64_t addr, const char* what) {
    // Their bpf_func_proto has pkt_access: look-ups and changes of maps, csum_diff, sockets, SYN cookies.
    constexpr std::array kTakesPackets{1u,   2u,   3u,   28u,  84u,  85u,  87u, 99u,
                                       100u, 110u, 195u, 204u, 205u, 206u, 207u};
    const Insn& insn = machine.code->program->linked().insns[machine.code->slot_of(machine.at)];
    const auto id = static_cast<uint32_t>(insn.imm);
    const bool is_helper = insn.code == (op::kJmp | op::kCall) && insn.src == 0;
    const bool is_argument =
        std::find(machine.regs.begin() + 1, machine.regs.begin() + 6, addr) != machine.regs.begin() + 6;
    if (is_helper && is_argument && machine.options.mode == Mode::Strict &&
        !machine.options.helpers.contains(id) &&
        std::ranges::find(kTakesPackets, id) == kTakesPackets.end()) {
        machine.warn("bpf_" + std::string(abi::helper_name(id)) + " takes no packet memory (" + what +
                         "); copy it to the stack or a map first",
                     true);
    }
}

uint64_t guard_nothing_open(Machine& machine, const uint64_t*) {
    std::string open;
    if (const Machine::HeldLock* lock = held_lock(machine); lock != nullptr) {
        open = "holds " + taken_at(machine, *lock);
    } else if (!machine.open_references.empty()) {
        const Region& region = machine.regions.at(machine.open_references.back());
        open = std::string("has a ") + name(region.kind) + " to give back, taken at " +
               line_of(machine, region.birth);
    } else if (!machine.iterators.empty()) {
        open = "has an iterator to destroy, made at " + line_of(machine, machine.iterators.back().slot);
    } else if (!machine.sections.empty()) {
        open = std::string("is inside a ") + machine.sections.back().kind + ", entered at " +
               line_of(machine, machine.sections.back().slot);
    }
    if (!open.empty()) {
        machine.fault(FaultKind::Strict, subject(machine) + " may end the program, which " + open,
                      "give back what was taken before it");
    }
    return machine.regs[0];
}

} // namespace mimicsh::vm
