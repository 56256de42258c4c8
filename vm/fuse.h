// SPDX-License-Identifier: MIT
// Several instructions as one operation: fewer dispatches for what compilers emit most.
#pragma once

#include <cstdint>
#include <vector>

#include "vm/ops.h"

namespace mimicsh::vm {

inline constexpr uint32_t kNoTarget = 0xffffffff;

/// An operation on its way: its code instead of a label, its jump target as a slot.
struct Draft {
    Op op;
    uint32_t slot = 0;
    uint32_t access =
        kNoTarget; ///< of a fused operation: slot of the memory access, when it is not the first
    uint32_t target = kNoTarget;
    OpCode code = OpCode::refused;
    bool leader = false; ///< something jumps here, so it cannot be inside a fused operation
};

[[nodiscard]] constexpr OpCode plus(OpCode base, int by) {
    return static_cast<OpCode>(static_cast<int>(base) + by);
}

/// Replaces idioms (a bounds check, a 16-bit field read by bytes, a look-up by a key on the stack) and pairs
/// by single operations. Every operation leaves all registers as its instructions would. Pairs come out with
/// their label set, everything else with its code.
void fuse(std::vector<Draft>& drafts);

} // namespace mimicsh::vm
