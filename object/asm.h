// SPDX-License-Identifier: MIT
// The assembler: kernel-style text to Object. It reads what object/disasm.h prints, and what llvm-objdump,
// bpftool and the verifier log print; docs/asm.md is the reference.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "object/object.h"

namespace mimicsh {

struct AsmOptions {
    std::string name = "asm";      ///< Object::name
    std::string origin = "string"; ///< where the text stands ("script.lua"), for messages and line info
    uint32_t first_line = 1;       ///< line of `origin` on which the text begins
    uint32_t first_column = 1;     ///< and column
    abi::ProgType type = abi::ProgType::Xdp; ///< of code in front of the first .section
    std::string license = "GPL";             ///< unless the text says .license
    std::vector<MapDef> maps;                ///< beside those the text declares; without BTF types
};

/// Assembles a text of at most 4 MiB. Functions get BTF and one line record per instruction that points into
/// the text. Errors read "origin:line:column: reason", with the line and a caret under the place in
/// Error::log.
[[nodiscard]] Expected<Object> assemble(std::string_view text, const AsmOptions& options);

/// One instruction without names, as disassemble(insn, second) prints it; both slots of a 64-bit load, else
/// an empty second one. Text that names a map, function or label is refused.
[[nodiscard]] Expected<std::pair<Insn, Insn>> assemble_instruction(std::string_view text);

} // namespace mimicsh
