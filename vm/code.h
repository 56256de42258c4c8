// SPDX-License-Identifier: MIT
// A decoded program: what the interpreter runs.
#pragma once

#include <cstdint>
#include <vector>

#include "vm/ops.h"

namespace mimicsh::vm {

class LoadedProgram;

/// Operations of one linked program. Jumps are relative, so the vector may be moved but not reordered.
struct Code {
    std::vector<Op> ops;
    std::vector<uint32_t>
        slots; ///< per operation: the slot to name when it faults (of a pair: the memory access)
    std::vector<uint32_t>
        op_of_slot; ///< per slot: operation that starts there; kNoOp inside a pair or a wide load
    LoadedProgram* program = nullptr;
    bool tracks_bounds = false; ///< packet accesses beyond what was compared with data_end take the slow path

    static constexpr uint32_t kNoOp = 0xffffffff;
    [[nodiscard]] uint32_t slot_of(const Op* op) const { return slots[static_cast<size_t>(op - ops.data())]; }
};

} // namespace mimicsh::vm
