// SPDX-License-Identifier: MIT
// One instruction of assembler text. Not a public header.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "object/asm_lexer.h"
#include "object/insn.h"

namespace mimicsh::assembler {

/// What an instruction refers to by name; the encoding is completed when the name is known.
enum class Reference : uint8_t {
    None,
    Jump,     ///< label, distance in off
    LongJump, ///< label, distance in imm (gotol)
    Call,     ///< function, extern or helper
    Function, ///< address of a function
    Map,
    MapValue, ///< address inside the value of a one-element map, `offset` bytes in
    Extern,   ///< address of an extern
};

struct ParsedInsn {
    Insn insn;
    Insn second; ///< of a 64-bit load, else empty
    Reference reference = Reference::None;
    std::string name;
    uint32_t offset = 0;
    uint32_t column = 1; ///< of the name, else of the instruction
};

struct Problem {
    uint32_t column = 1;
    std::string text;
    std::string hint;
};

/// Parses one instruction up to the end of the line. On failure returns nothing and fills `problem`.
[[nodiscard]] std::optional<ParsedInsn> parse_instruction(Lexer& lexer, Problem& problem);

} // namespace mimicsh::assembler
