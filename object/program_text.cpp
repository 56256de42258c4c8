// SPDX-License-Identifier: MIT
// Names, labels and source lines of a program's instructions.
#include "object/program_text.h"

#include <algorithm>

#include "object/asm_lexer.h"
#include "object/disasm.h"
#include "object/disasm_parts.h"

namespace mimicsh {

using assembler::quote_name;

ProgramText::ProgramText(const LinkedProgram& program, bool labels) : program_(program) {
    choose_names();
    choose_labels(labels);
}

/// Static functions of one object may share a name; a text cannot keep them apart.
void ProgramText::choose_names() {
    if (program_.object) {
        for (const ExternDef& def : program_.object->externs) {
            taken_.insert(def.name);
        }
    }
    for (const LinkedFunction& function : program_.functions) {
        std::string name = function.name;
        for (uint32_t number = 2; !taken_.insert(name).second; ++number) {
            name = function.name + "." + std::to_string(number);
        }
        names_.push_back(name);
    }
    const auto clashes = [&] {
        return std::ranges::any_of(names_, [&](const std::string& n) { return n.starts_with(prefix_); });
    };
    while (clashes()) {
        prefix_ += '_';
    }
}

std::optional<uint32_t> ProgramText::jump_target(uint32_t slot) const {
    const Insn& insn = program_.insns[slot];
    const InsnForm* form = classify(insn);
    if (form == nullptr ||
        (form->kind != InsnKind::Jump && form->kind != InsnKind::Goto && form->kind != InsnKind::MayGoto)) {
        return std::nullopt;
    }
    const bool is_long = insn.code == (op::kJmp32 | op::kJa);
    const int64_t target = int64_t{slot} + 1 + (is_long ? insn.imm : insn.off);
    if (target < 0 || target >= static_cast<int64_t>(starts_.size()) ||
        !starts_[static_cast<size_t>(target)]) {
        return std::nullopt;
    }
    return static_cast<uint32_t>(target);
}

void ProgramText::choose_labels(bool labels) {
    const auto count = static_cast<uint32_t>(program_.insns.size());
    starts_.assign(count, false);
    targets_.assign(count, false);
    for (uint32_t slot = 0; slot < count; slot += slot_count(program_.insns[slot])) {
        starts_[slot] = true;
    }
    for (uint32_t slot = 0; labels && slot < count; slot += slot_count(program_.insns[slot])) {
        if (const auto target = jump_target(slot)) {
            targets_[*target] = true;
        }
    }
}

std::string ProgramText::text(uint32_t slot) const {
    const Insn& insn = program_.insns[slot];
    if (std::string named = named_text(program_, slot, &names_); !named.empty()) {
        return named;
    }
    std::string plain = disassemble(insn, second_slot(program_, slot));
    const InsnForm* form = classify(insn);
    if (form != nullptr && form->kind == InsnKind::CallHelper && plain.starts_with("call bpf_") &&
        taken_.contains(plain.substr(5))) {
        return "call " + std::to_string(insn.imm);
    }
    const auto target = jump_target(slot);
    if (target && targets_[*target]) {
        return plain.substr(0, plain.rfind(' ') + 1) + prefix_ + std::to_string(*target);
    }
    return plain;
}

std::string ProgramText::function_at(uint32_t slot) const {
    const auto found = std::ranges::lower_bound(program_.functions, slot, {}, &LinkedFunction::insn);
    return found != program_.functions.end() && found->insn == slot
               ? quote_name(names_[static_cast<size_t>(found - program_.functions.begin())])
               : "";
}

std::string ProgramText::label_at(uint32_t slot) const {
    return targets_[slot] ? prefix_ + std::to_string(slot) : "";
}

// -- Source lines --

namespace {

/// A line of assembler text: the instruction with single blanks, and the comment behind it.
struct AssemblerLine {
    std::string code;
    std::string comment;
};

AssemblerLine split(std::string_view text) {
    AssemblerLine line;
    assembler::Lexer lexer(text);
    uint32_t end = 1;
    for (auto token = lexer.peek(); token.kind != assembler::TokenKind::End; token = lexer.peek()) {
        (void)lexer.next();
        if (token.kind == assembler::TokenKind::Bad) {
            return {};
        }
        end = lexer.peek().column;
    }
    for (const char c : text.substr(0, end - 1)) {
        const bool is_blank = c == ' ' || c == '\t';
        if (!is_blank || !line.code.ends_with(' ')) {
            line.code += is_blank ? ' ' : c;
        }
    }
    while (line.code.ends_with(' ')) {
        line.code.pop_back();
    }
    const size_t comment = text.find_first_not_of(";#/ \t", end - 1);
    line.comment = comment == std::string_view::npos ? "" : text.substr(comment);
    return line;
}

/// The instruction up to the name of a label behind it.
std::string without_target(const std::string& text) {
    const size_t jump = text.rfind("goto");
    return jump == std::string::npos ? text : text.substr(0, text.rfind(' ') + 1);
}

} // namespace

namespace {

bool is_expression(const SourceLine& source) {
    return source.file.ends_with('\'');
}

} // namespace

std::string source_place(const SourceLine& source) {
    if (is_expression(source)) {
        return source.file;
    }
    return source.file + ":" + std::to_string(source.line) +
           (source.column == 0 ? "" : ":" + std::to_string(source.column));
}

SourceNote SourceNotes::next(const LinkedProgram& program, uint32_t slot, const std::string& text) {
    const LineInfo* line = program.line_at(slot);
    if (line == nullptr || line == last_line_) {
        return {};
    }
    last_line_ = line;
    SourceLine source = source_line(program, slot);
    if (source.text.empty()) {
        return {};
    }
    std::ranges::replace_if(
        source.text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    const std::string place = is_expression(source) ? ""
                                                    : source.file.substr(source.file.rfind('/') + 1) + ":" +
                                                          std::to_string(source.line);
    const std::string whole = "; " + place + (place.empty() ? "" : " ") + source.text;
    if (whole == last_) {
        return {};
    }
    last_ = whole;
    const AssemblerLine line_of_text = split(source.text);
    if (line_of_text.code == text) {
        return {"", place, line_of_text.comment};
    }
    if (!line_of_text.code.empty() && without_target(line_of_text.code) == without_target(text)) {
        const std::string target = line_of_text.code.substr(line_of_text.code.rfind(' ') + 1);
        return {"", place,
                "goto " + target + (line_of_text.comment.empty() ? "" : " ; " + line_of_text.comment)};
    }
    return {whole, "", ""};
}

} // namespace mimicsh
