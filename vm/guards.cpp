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

/// Helpers that read at addresses that the verifier does not look at, beside arguments that it does.
struct MemoryArguments {
    uint32_t helper = 0;
    uint32_t regs = 0; ///< bits: registers with memory that it looks at
};
const MemoryArguments* memory_arguments(uint32_t id) {
    static constexpr std::array kKnown{
        MemoryArguments{4, 1 << 1},
        MemoryArguments{6, 1 << 1},
        MemoryArguments{45, 1 << 1},
        MemoryArguments{112, 1 << 1},
        MemoryArguments{113, 1 << 1},
        MemoryArguments{114, 1 << 1},
        MemoryArguments{115, 1 << 1}, // bpf_probe_read*
        MemoryArguments{165, 1 << 1 | 1 << 3 | 1 << 4},
        MemoryArguments{177, 1 << 1 | 1 << 3},
    };
    const auto found = std::ranges::find(kKnown, id, &MemoryArguments::helper);
    return found == kKnown.end() ? nullptr : &*found;
}

bool is_argument(const Machine& machine, uint64_t addr, uint32_t regs) {
    for (uint32_t reg = 1; reg <= 5; ++reg) {
        if ((regs >> reg & 1) != 0 && machine.regs[reg] == addr) {
            return true;
        }
    }
    return false;
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
        if (op.c != 0) {
            const auto slot = static_cast<uint32_t>(op.c) - 1;
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

bool is_probing(const Machine& machine, uint64_t addr) {
    const LinkedProgram& program = machine.code->program->linked();
    const uint32_t slot = machine.code->slot_of(machine.at);
    const Insn& insn = program.insns[slot];
    if (insn.code != (op::kJmp | op::kCall)) {
        return false;
    }
    if (insn.src == 0) {
        const MemoryArguments* known = memory_arguments(static_cast<uint32_t>(insn.imm));
        return known != nullptr && !is_argument(machine, addr, known->regs);
    }
    const std::string name = subject(program, slot);
    return name.starts_with("bpf_str") || name == "bpf_iter_bits_new";
}

void want_packet_access(Machine& machine, uint64_t addr, const char* what) {
    // Their bpf_func_proto has pkt_access: look-ups and changes of maps, csum_diff, sockets, SYN cookies.
    constexpr std::array kTakesPackets{1u,   2u,   3u,   28u,  84u,  85u,  87u, 99u,
                                       100u, 110u, 195u, 204u, 205u, 206u, 207u};
    constexpr uint32_t kAny = 0b111110;
    const Insn& insn = machine.code->program->linked().insns[machine.code->slot_of(machine.at)];
    const auto id = static_cast<uint32_t>(insn.imm);
    if (insn.code != (op::kJmp | op::kCall) || insn.src != 0 || machine.options.mode != Mode::Strict ||
        machine.options.helpers.contains(id) || std::ranges::find(kTakesPackets, id) != kTakesPackets.end()) {
        return;
    }
    const MemoryArguments* known = memory_arguments(id);
    if (is_argument(machine, addr, known == nullptr ? kAny : known->regs)) {
        machine.warn(subject(machine) + " takes no packet memory (" + what +
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
