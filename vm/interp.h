// SPDX-License-Identifier: MIT
// The checked, direct-threaded interpreter and the labels that the decoder puts into operations.
#pragma once

#include "vm/code.h"
#include "vm/machine.h"

namespace mimicsh::vm {

/// Rows of MIMICSH_VM_ACCESS: four widths anywhere, then four in the packet.
inline constexpr size_t kAccessRows = 8;

/// Addresses of the handlers of one interpreter instance.
struct Labels {
    const void* const* single = nullptr;    ///< by OpCode
    const void* const* alu_alu = nullptr;   ///< [first * pair_alu_count + second]
    const void* const* alu_jump = nullptr;  ///< [(first * pair_jump_count + second) * 2 + backward]
    const void* const* alu_load = nullptr;  ///< [first * kAccessRows + row of the load]
    const void* const* load_alu = nullptr;  ///< [row * pair_alu_count + second]
    const void* const* load_jump = nullptr; ///< [(row * pair_jump_count + second) * 2 + backward]
    const void* const* load_load = nullptr; ///< [row * 4 + log2(second bytes)], both in the packet or neither
    const void* const* alu_store = nullptr; ///< [first * kAccessRows + row of the store]
    const void* const* load_store = nullptr; ///< [row], of both
    const void* const* store_store =
        nullptr; ///< [row * 4 + log2(second bytes)], both in the packet or neither
    const void* const* prove_jump =
        nullptr; ///< [jgt64_x, jge64_x, jlt64_x, jle64_x], each forward and backward
};

/// Position of an operation in the pair lists, -1 when it does not take part.
[[nodiscard]] int pair_alu_index(OpCode code);
[[nodiscard]] int pair_jump_index(OpCode forward_code);
[[nodiscard]] int pair_alu_count();
[[nodiscard]] int pair_jump_count();

[[nodiscard]] const Labels& fast_labels();
/// Of the interpreter that reports every instruction to Machine::tracer; it has no pairs.
[[nodiscard]] const Labels& traced_labels();

/// Runs from an operation until the frame it started in exits. False: Machine::pending says why it stopped.
/// r0 is in Machine::regs[0].
[[nodiscard]] bool execute(Machine& machine, const Code& code, uint32_t op);
/// The same with the tracer; the code must have been decoded without fusion.
[[nodiscard]] bool execute_traced(Machine& machine, const Code& code, uint32_t op);

} // namespace mimicsh::vm
