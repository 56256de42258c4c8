// SPDX-License-Identifier: MIT
// Accesses through pointers to an arena, and what makes addresses of them.
#include "vm/outside.h"

#include "vm/machine.h"
#include "vm/maps/arena.h"

namespace mimicsh::vm {

namespace {

bool is_load(Outside work) {
    return work == Outside::ArenaLoad || work == Outside::ArenaLoadSigned ||
           work == Outside::ArenaLoadAcquire;
}

/// A loaded value as the register holds it.
uint64_t widened(uint64_t value, uint32_t size, bool is_signed) {
    if (!is_signed) {
        return value;
    }
    return size == 1   ? static_cast<uint64_t>(int64_t{static_cast<int8_t>(value)})
           : size == 2 ? static_cast<uint64_t>(int64_t{static_cast<int16_t>(value)})
                       : static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)});
}

/// emit_cast_user of the x86-64 JIT: `high` is the upper half of the arena's address. What has a low half of
/// 0 is no pointer.
uint64_t user_address(uint64_t value, int32_t high) {
    const uint64_t low = value << 32;
    const uint64_t both = low | static_cast<uint64_t>(int64_t{high});
    return low == 0 ? 0 : both >> 32 | both << 32;
}

/// What the kernel's fault handler makes of an access to a page that is not there (ex_handler_bpf in
/// arch/x86/net/bpf_jit_comp.c): loads give 0, everything else leaves memory and registers as they were.
void miss(Machine& machine, const Op& op, const ArenaMap& arena, int64_t place) {
    const auto work = static_cast<Outside>(op.src2);
    const bool zeroes = work == Outside::ArenaLoad || work == Outside::ArenaLoadSigned;
    const int64_t offset = place - int64_t{static_cast<uint32_t>(arena.address())};
    const bool outside = offset < 0 || static_cast<uint64_t>(offset) >= arena.size();
    machine.warn((work == Outside::ArenaAtomic ? "atomic operation on "
                  : is_load(work)              ? "read of "
                                               : "write of ") +
                 std::to_string(op.dst2) + (op.dst2 == 1 ? " byte" : " bytes") + " at arena " +
                 arena.info().name + (offset < 0 ? "-" : "+") +
                 std::to_string(offset < 0 ? -offset : offset) +
                 (outside ? ", outside the arena" : ", where no page is allocated") +
                 (zeroes ? ": it gives 0" : ": the kernel skips it"));
    if (zeroes) {
        machine.regs[op.dst] = 0;
    }
}

/// Through a register that holds another pointer on this way to the instruction.
bool access_elsewhere(Machine& machine, const Op& op) {
    const auto work = static_cast<Outside>(op.src2);
    const uint64_t base = machine.regs[is_load(work) ? op.src : op.dst];
    const uint64_t addr = base + static_cast<uint64_t>(int64_t{op.a});
    if (work == Outside::ArenaStore) {
        return machine.store(addr, op.dst2, machine.regs[op.src]);
    }
    if (work == Outside::ArenaStoreImm) {
        return machine.store(addr, op.dst2, static_cast<uint64_t>(int64_t{op.b}));
    }
    uint64_t value = 0;
    if (!machine.load(addr, op.dst2, value)) {
        return false;
    }
    machine.regs[op.dst] = widened(value, op.dst2, work == Outside::ArenaLoadSigned);
    return true;
}

} // namespace

ArenaPlace arena_place(Machine& machine, const Op& op) {
    const auto& arena = static_cast<const ArenaMap&>(*machine.maps()[static_cast<size_t>(op.c)]);
    const uint64_t base = machine.regs[is_load(static_cast<Outside>(op.src2)) ? op.src : op.dst];
    // Pointers to an arena have no upper half.
    if (const uint32_t handle = handle_of(base); handle != 0 && handle < machine.regions.size()) {
        return {true, nullptr};
    }
    const int64_t place = int64_t{static_cast<uint32_t>(base)} + op.a;
    uint8_t* host = arena.find_bytes(place, op.dst2);
    if (host == nullptr) {
        miss(machine, op, arena, place);
    }
    return {false, host};
}

bool work_outside(Machine& machine, const Op& op) {
    const auto work = static_cast<Outside>(op.src2);
    if (work == Outside::CastUser) {
        machine.regs[op.dst] = user_address(machine.regs[op.src], op.a);
        return true;
    }
    const auto [elsewhere, host] = arena_place(machine, op);
    if (elsewhere) {
        return access_elsewhere(machine, op);
    }
    if (host == nullptr) {
        return !machine.faulted();
    }
    if (is_load(work)) {
        uint64_t value = 0;
        std::memcpy(&value, host, op.dst2);
        machine.regs[op.dst] = widened(value, op.dst2, work == Outside::ArenaLoadSigned);
        return true;
    }
    machine.journal.bytes(host, op.dst2);
    const uint64_t value =
        work == Outside::ArenaStoreImm ? static_cast<uint64_t>(int64_t{op.b}) : machine.regs[op.src];
    std::memcpy(host, &value, op.dst2);
    return true;
}

} // namespace mimicsh::vm
