// SPDX-License-Identifier: MIT
// What printing one instruction and listing a program share. Not a public header.
#pragma once

#include <string>
#include <vector>

#include "object/linker.h"

namespace mimicsh {

/// Text of an instruction that names a map, an extern or a function; empty for others. `names` replaces those
/// of program.functions when it is given.
[[nodiscard]] std::string named_text(const LinkedProgram& program, uint32_t slot,
                                     const std::vector<std::string>* names);

/// The slot behind an instruction, empty behind the last.
[[nodiscard]] Insn second_slot(const LinkedProgram& program, uint32_t slot);

} // namespace mimicsh
