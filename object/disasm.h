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

struct ListingOptions {
    bool source = true;  ///< source lines as comments: "; file:line text"
    bool labels = true;  ///< jumps name labels ("goto L7", 7 being the slot); else distances ("goto +3")
    bool slots = false;  ///< slot numbers in front of instructions, which the assembler skips
    bool section = true; ///< ".section" with the program's section in front
};

/// A whole linked program, a function at a time. Behind the text of list_declarations it assembles
/// (object/asm.h) to an object whose program links to the same instructions and references; only the names of
/// functions that share one differ.
[[nodiscard]] std::string disassemble(const LinkedProgram& program, const ListingOptions& options);

/// Licence, maps and externs of an object as directives.
[[nodiscard]] std::string list_declarations(const Object& object);
/// Initial programs of prog arrays as directives: they need all programs in the text.
[[nodiscard]] std::string list_program_slots(const Object& object);

} // namespace mimicsh
