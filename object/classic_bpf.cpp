// SPDX-License-Identifier: MIT
// Classic BPF: what its instructions are, their text, and the object that comes of a program.
#include "object/classic_bpf.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "object/asm.h"
#include "object/classic_parts.h"

namespace mimicsh {

namespace classic {

namespace {

constexpr std::array<Named, 9> kArithmetic{{{op::kAdd, "add", "+="},
                                            {op::kSub, "sub", "-="},
                                            {op::kMul, "mul", "*="},
                                            {op::kDiv, "div", "/="},
                                            {op::kMod, "mod", "%="},
                                            {op::kOr, "or", "|="},
                                            {op::kAnd, "and", "&="},
                                            {op::kXor, "xor", "^="},
                                            {op::kLsh, "lsh", "<<="}}};
constexpr Named kRightShift{op::kRsh, "rsh", ">>="};

const char* size_suffix(uint16_t code) {
    switch (code & 0x18) {
    case op::kH:
        return "h";
    case op::kB:
        return "b";
    default:
        return "";
    }
}

bool has_load_size(uint16_t code) {
    return (code & 0x18) != op::kDw;
}

} // namespace

const Named* arithmetic(uint16_t code) {
    const uint16_t operation = operation_of(code);
    if (operation == op::kRsh) {
        return &kRightShift;
    }
    const auto* found = std::ranges::find(kArithmetic, operation, &Named::operation);
    return found != kArithmetic.end() ? found : nullptr;
}

std::string hex(uint32_t number) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "0x%x", number);
    return text.data();
}

std::optional<What> what_is(const ClassicInsn& insn) {
    const uint16_t code = insn.code;
    switch (class_of(code)) {
    case kClassLd:
    case kClassLdx: {
        const bool to_x = class_of(code) == kClassLdx;
        const bool word = (code & 0x18) == op::kW;
        switch (mode_of(code)) {
        case kModeAbs:
        case kModeInd:
            return !to_x && has_load_size(code) ? std::optional(What::LoadPacket) : std::nullopt;
        case kModeMsh:
            return to_x && (code & 0x18) == op::kB ? std::optional(What::LoadHeaderLength) : std::nullopt;
        case kModeImm:
            return word ? std::optional(What::Immediate) : std::nullopt;
        case kModeMem:
            return word && insn.k < kWords ? std::optional(What::LoadWord) : std::nullopt;
        case kModeLen:
            return word ? std::optional(What::LoadLength) : std::nullopt;
        default:
            return std::nullopt;
        }
    }
    case kClassSt:
    case kClassStx:
        return code == class_of(code) && insn.k < kWords ? std::optional(What::StoreWord) : std::nullopt;
    case kClassAlu:
        if (operation_of(code) == op::kNeg) {
            return What::Negate;
        }
        return arithmetic(code) != nullptr ? std::optional(What::Alu) : std::nullopt;
    case kClassJmp:
        switch (operation_of(code)) {
        case op::kJa:
            return What::Goto;
        case op::kJeq:
        case op::kJgt:
        case op::kJge:
        case op::kJset:
            return What::Jump;
        default:
            return std::nullopt;
        }
    case kClassRet:
        return operation_of(code) == kRetA ? What::ReturnA : What::ReturnK;
    default:
        return code == (kClassMisc | kTxa) ? What::ToA
               : code == kClassMisc        ? std::optional(What::ToX)
                                           : std::nullopt;
    }
}

} // namespace classic

namespace {

constexpr std::string_view kCommentSign = "; ";

/// Lets the source lines be the classic instructions: what stands in the comments of the text.
void keep_comments(Object& object) {
    std::vector<LineInfo>& lines = object.functions[0].lines;
    std::erase_if(lines, [&](LineInfo& at) {
        const size_t comment = object.btf->string(at.text_off).find(kCommentSign);
        at.text_off += static_cast<uint32_t>(comment + kCommentSign.size());
        return comment == std::string_view::npos;
    });
    for (size_t i = 0; i < lines.size(); ++i) {
        lines[i].line = static_cast<uint32_t>(i + 1);
        lines[i].column = 0;
    }
}

} // namespace

Expected<Object> classic_object(std::span<const ClassicInsn> program, const ClassicOptions& options) {
    auto text = translate_classic(program, options);
    if (!text) {
        return text.error();
    }
    AsmOptions asm_options;
    asm_options.name = "filter";
    asm_options.origin = options.origin;
    auto object = assemble(*text, asm_options);
    if (object) {
        keep_comments(*object);
    }
    return object;
}

std::string classic_text(std::span<const ClassicInsn> program, size_t index) {
    using namespace classic;
    const ClassicInsn& insn = program[index];
    const auto kind = what_is(insn);
    if (!kind) {
        return "?";
    }
    const bool to_x = class_of(insn.code) == kClassLdx;
    const std::string load = std::string("ld") + (to_x ? "x" : "") + size_suffix(insn.code) + " ";
    const std::string k = std::to_string(insn.k);
    const std::string place = std::to_string(static_cast<int32_t>(insn.k)); // as tcpdump -d has it
    const std::string operand = by_x(insn.code) ? "x" : "#" + hex(insn.k);
    switch (*kind) {
    case What::LoadPacket:
        return load + (mode_of(insn.code) == kModeInd ? "[x + " : "[") + place + "]";
    case What::LoadHeaderLength:
        return "ldxb 4*([" + place + "]&0xf)";
    case What::LoadLength:
        return load + "#pktlen";
    case What::Immediate:
        return load + "#" + hex(insn.k);
    case What::LoadWord:
        return load + "M[" + k + "]";
    case What::StoreWord:
        return std::string(class_of(insn.code) == kClassStx ? "stx" : "st") + " M[" + k + "]";
    case What::Alu: {
        const Named& named = *arithmetic(insn.code);
        const bool by_bits =
            named.operation == op::kAnd || named.operation == op::kOr || named.operation == op::kXor;
        return std::string(named.name) + " " + (by_bits || by_x(insn.code) ? operand : "#" + k);
    }
    case What::Negate:
        return "neg";
    case What::Goto:
        return "ja " + std::to_string(index + 1 + insn.k);
    case What::Jump: {
        const uint16_t operation = operation_of(insn.code);
        const char* name = operation == op::kJeq   ? "jeq "
                           : operation == op::kJgt ? "jgt "
                           : operation == op::kJge ? "jge "
                                                   : "jset ";
        return name + operand + " jt " + std::to_string(index + 1 + insn.jt) + " jf " +
               std::to_string(index + 1 + insn.jf);
    }
    case What::ReturnA:
        return "ret a";
    case What::ReturnK:
        return "ret #" + k;
    case What::ToX:
        return "tax";
    case What::ToA:
        return "txa";
    }
    return "?";
}

} // namespace mimicsh
