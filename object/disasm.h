// SPDX-License-Identifier: MIT
// Instructions as kernel-style text; the assembler reads the same text back.
#pragma once

#include <string>

#include "object/insn.h"
#include "object/linker.h"

namespace mimicsh {

/// One instruction without knowledge of its surroundings: jumps and calls are relative ("goto +3"),
/// references are numbers. `second` is the slot that follows (the upper half of a 64-bit immediate).
[[nodiscard]] std::string disassemble(const Insn& insn, const Insn& second);

/// One instruction of a linked program, with the names of maps, helpers and functions.
[[nodiscard]] std::string disassemble(const LinkedProgram& program, uint32_t slot);

} // namespace mimicsh
