// SPDX-License-Identifier: MIT
// The assembler between reading lines and building the object. Not a public header.
#pragma once

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "object/asm.h"
#include "object/asm_parser.h"
#include "object/btf_edit.h"

namespace mimicsh::assembler {

/// A place in the text, with its line for the caret.
struct Position {
    uint32_t line = 0; ///< from 1, within the text
    uint32_t column = 1;
    std::string_view text;
};

struct Statement {
    uint32_t slot = 0; ///< within the scope
    Position at;
    ParsedInsn parsed;
};

struct Label {
    uint32_t slot = 0;
    Position at;
    bool is_used = false;
};

/// Where a function begins.
struct Start {
    std::string name;
    uint32_t index = 0; ///< in the object's functions
};

/// The code behind one .section: one program and its subprograms, or subprograms only (.text). Labels are
/// looked up here first, then in the other scopes.
struct Scope {
    std::string section;
    std::optional<ProgramSpec> spec;
    Position at;
    std::vector<Statement> statements; ///< by slot
    std::map<std::string, Label, std::less<>> labels;
    std::map<uint32_t, Start> starts; ///< functions by slot
    uint32_t slots = 0;
    std::string exception; ///< function that bpf_throw ends in, empty = none
    Position exception_at;
};

/// An initial entry of a prog array or map of maps, by name.
struct SlotEntry {
    uint32_t map = 0;
    uint32_t index = 0;
    std::string target;
    Position at;
};

/// All that the text says, before names are resolved.
struct Source {
    const AsmOptions& options;
    std::vector<Scope> scopes;
    std::vector<SlotEntry> slots;
    BtfEditor types;
    Object object; ///< maps, externs, licence
};

/// An error at a place of the text, with the line and a caret in its log.
[[nodiscard]] Error error_at(const AsmOptions& options, const Position& at, const std::string& text,
                             const std::string& hint = "", int code = EINVAL);

/// Splits the text into scopes and declarations (asm.cpp, asm_directives.cpp).
[[nodiscard]] Status read_directive(Source& source, const Token& name, Lexer& lexer, const Position& at);
/// Opens the scope of a section; its name must be one that the loader knows.
[[nodiscard]] Status open_scope(Source& source, const std::string& section, const Position& at);
/// The same by program type, for types that need no more than that.
[[nodiscard]] Status open_scope(Source& source, abi::ProgType type, const Position& at);
/// Appends an instruction to the open scope.
[[nodiscard]] Status add_statement(Source& source, ParsedInsn parsed, const Position& at);
/// Resolves names and makes the functions (asm_build.cpp).
[[nodiscard]] Expected<Object> build(Source source);

} // namespace mimicsh::assembler
