// SPDX-License-Identifier: MIT
// Printing instructions.
#include "object/disasm.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

#include "object/asm_lexer.h"
#include "object/disasm_parts.h"

namespace mimicsh {

using assembler::quote_name;

namespace {

std::string reg(uint32_t number, bool wide) {
    return (wide ? "r" : "w") + std::to_string(number);
}

std::string hex(uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

/// "r1 + 8", "r10 - 8".
std::string place(uint32_t base, int32_t off) {
    return reg(base, true) + (off < 0 ? " - " + std::to_string(-int64_t{off}) : " + " + std::to_string(off));
}

std::string distance(int64_t by) {
    return (by < 0 ? "" : "+") + std::to_string(by);
}

std::string type_of(const Insn& insn, bool is_signed) {
    return (is_signed ? "s" : "u") + std::to_string(access_size(insn.code) * 8);
}

std::string memory(const Insn& insn, uint32_t base, bool is_signed) {
    return "*(" + type_of(insn, is_signed) + " *)(" + place(base, insn.off) + ")";
}

std::string operand(const Insn& insn, bool wide) {
    return (insn.code & op::kX) != 0 ? reg(insn.src, wide) : std::to_string(insn.imm);
}

std::string alu_text(const Insn& insn) {
    const bool wide = (insn.code & 7) == op::kAlu64;
    const char* sign = "?=";
    switch (insn.code & 0xf0) {
    case op::kMov:
        sign = "=";
        break;
    case op::kAdd:
        sign = "+=";
        break;
    case op::kSub:
        sign = "-=";
        break;
    case op::kMul:
        sign = "*=";
        break;
    case op::kDiv:
        sign = insn.off == 1 ? "s/=" : "/=";
        break;
    case op::kMod:
        sign = insn.off == 1 ? "s%=" : "%=";
        break;
    case op::kOr:
        sign = "|=";
        break;
    case op::kAnd:
        sign = "&=";
        break;
    case op::kXor:
        sign = "^=";
        break;
    case op::kLsh:
        sign = "<<=";
        break;
    case op::kRsh:
        sign = ">>=";
        break;
    default:
        sign = "s>>=";
        break;
    }
    return reg(insn.dst, wide) + " " + sign + " " + operand(insn, wide);
}

const char* comparison(uint8_t code) {
    switch (code & 0xf0) {
    case op::kJeq:
        return "==";
    case op::kJne:
        return "!=";
    case op::kJgt:
        return ">";
    case op::kJge:
        return ">=";
    case op::kJlt:
        return "<";
    case op::kJle:
        return "<=";
    case op::kJset:
        return "&";
    case op::kJsgt:
        return "s>";
    case op::kJsge:
        return "s>=";
    case op::kJslt:
        return "s<";
    default:
        return "s<=";
    }
}

std::string atomic_text(const Insn& insn) {
    const bool wide = access_size(insn.code) == 8;
    const std::string at = "(" + type_of(insn, false) + " *)(" + place(insn.dst, insn.off) + ")";
    // LLVM's names: xchg_64, but xchg32_32.
    const std::string suffix = wide ? "_64(" : "32_32(";
    if (insn.imm == op::kXchg) {
        return reg(insn.src, wide) + " = xchg" + suffix + place(insn.dst, insn.off) + ", " +
               reg(insn.src, wide) + ")";
    }
    if (insn.imm == op::kCmpxchg) {
        return reg(0, wide) + " = cmpxchg" + suffix + place(insn.dst, insn.off) + ", " + reg(0, wide) + ", " +
               reg(insn.src, wide) + ")";
    }
    const int32_t operation = insn.imm & ~op::kFetch;
    if ((insn.imm & op::kFetch) != 0) {
        const char* name = operation == op::kAdd   ? "add"
                           : operation == op::kOr  ? "or"
                           : operation == op::kAnd ? "and"
                                                   : "xor";
        return reg(insn.src, wide) + " = atomic_fetch_" + name + "(" + at + ", " + reg(insn.src, wide) + ")";
    }
    const char* sign = operation == op::kAdd   ? "+="
                       : operation == op::kOr  ? "|="
                       : operation == op::kAnd ? "&="
                                               : "^=";
    return "lock *" + at + " " + sign + " " + reg(insn.src, wide);
}

/// What has no text form: its bytes, both slots of a 64-bit load.
std::string raw_text(const Insn& insn, const Insn& second) {
    const std::string first = ".bytes " + to_hex({reinterpret_cast<const uint8_t*>(&insn), sizeof insn});
    return slot_count(insn) == 1
               ? first
               : first + " " + to_hex({reinterpret_cast<const uint8_t*>(&second), sizeof second});
}

/// "[0] + 8"; the offset is signed only for a map that is named by number.
std::string element(int64_t offset) {
    return "[0] " + std::string(offset < 0 ? "- " : "+ ") + std::to_string(offset < 0 ? -offset : offset);
}

std::string wide_text(const Insn& insn, const Insn& second) {
    const bool no_offset = insn.src == op::kMapFd || insn.src == op::kFunc || insn.src == op::kMapIdx;
    if (second != Insn{0, 0, 0, 0, second.imm} || (no_offset && second.imm != 0)) {
        return raw_text(insn, second);
    }
    const std::string dst = reg(insn.dst, true) + " = ";
    const uint64_t value = static_cast<uint32_t>(insn.imm) | uint64_t{static_cast<uint32_t>(second.imm)}
                                                                 << 32;
    switch (insn.src) {
    case 0:
        return dst + hex(value) + " ll";
    case op::kMapFd:
        return dst + "map_fd[" + std::to_string(insn.imm) + "]";
    case op::kMapValue:
        return dst + "map_fd[" + std::to_string(insn.imm) + "]" + element(second.imm);
    case op::kBtfId:
        return dst + "btf_id[" + std::to_string(insn.imm) + "] fd " + std::to_string(second.imm);
    case op::kFunc:
        return dst + "func " + distance(insn.imm);
    case op::kMapIdx:
        return dst + "map_idx[" + std::to_string(insn.imm) + "]";
    default:
        return dst + "map_idx[" + std::to_string(insn.imm) + "]" + element(second.imm);
    }
}

std::string helper_text(int32_t id) {
    const std::string_view name = abi::helper_name(static_cast<uint32_t>(id));
    return name.empty() ? std::to_string(id) : "bpf_" + std::string(name);
}

} // namespace

std::string disassemble(const Insn& insn, const Insn& second) {
    const InsnForm* form = classify(insn);
    if (form == nullptr) {
        return raw_text(insn, second);
    }
    const bool wide = (insn.code & 7) == op::kAlu64;
    const std::string dst = reg(insn.dst, wide);
    switch (form->kind) {
    case InsnKind::Alu:
        return alu_text(insn);
    case InsnKind::Neg:
        return dst + " = -" + dst;
    case InsnKind::MovSx:
        return dst + " = (s" + std::to_string(insn.off) + ")" + reg(insn.src, wide);
    case InsnKind::Endian:
        return reg(insn.dst, true) + " = " + ((insn.code & op::kX) != 0 ? "be" : "le") +
               std::to_string(insn.imm) + " " + reg(insn.dst, true);
    case InsnKind::Bswap:
        return dst + " = bswap" + std::to_string(insn.imm) + " " + dst;
    case InsnKind::AddrCast:
        return dst + " = addr_space_cast(" + reg(insn.src, true) + ", " +
               hex(static_cast<uint32_t>(insn.imm) >> 16) + ", " + hex(insn.imm & 0xffff) + ")";
    case InsnKind::Load:
        return reg(insn.dst, true) + " = " + memory(insn, insn.src, false);
    case InsnKind::LoadSx:
        return reg(insn.dst, true) + " = " + memory(insn, insn.src, true);
    case InsnKind::StoreReg:
        return memory(insn, insn.dst, false) + " = " + reg(insn.src, true);
    case InsnKind::StoreImm:
        return memory(insn, insn.dst, false) + " = " + std::to_string(insn.imm);
    case InsnKind::Atomic:
        return atomic_text(insn);
    case InsnKind::LoadAcquire:
        return reg(insn.dst, true) + " = load_acquire((" + type_of(insn, false) + " *)(" +
               place(insn.src, insn.off) + "))";
    case InsnKind::StoreRelease:
        return "store_release((" + type_of(insn, false) + " *)(" + place(insn.dst, insn.off) + "), " +
               reg(insn.src, true) + ")";
    case InsnKind::LoadImm64:
        return wide_text(insn, second);
    case InsnKind::LoadAbs:
        return "r0 = *(" + type_of(insn, false) + " *)skb[" + std::to_string(insn.imm) + "]";
    case InsnKind::LoadInd:
        return "r0 = *(" + type_of(insn, false) + " *)skb[" + place(insn.src, insn.imm) + "]";
    case InsnKind::Jump: {
        const bool wide_jump = (insn.code & 7) == op::kJmp;
        return "if " + reg(insn.dst, wide_jump) + " " + comparison(insn.code) + " " +
               operand(insn, wide_jump) + " goto " + distance(insn.off);
    }
    case InsnKind::Goto:
        return insn.code == (op::kJmp32 | op::kJa) ? "gotol " + distance(insn.imm)
                                                   : "goto " + distance(insn.off);
    case InsnKind::MayGoto:
        return "may_goto " + distance(insn.off);
    case InsnKind::CallHelper:
        return "call " + helper_text(insn.imm);
    case InsnKind::CallLocal:
        return "call pc" + distance(insn.imm);
    case InsnKind::CallKfunc:
        return "call kfunc " + std::to_string(insn.imm) + " fd " + std::to_string(insn.off);
    case InsnKind::CallReg:
        return "callx " + reg(insn.dst, true);
    case InsnKind::GotoReg:
        return "gotox " + reg(insn.dst, true);
    case InsnKind::Exit:
        return "exit";
    }
    return ".bytes";
}

namespace {

/// Index of the function that a local call or a callback's address names; nothing for other instructions.
std::optional<size_t> named_function(const LinkedProgram& program, uint32_t slot) {
    const Insn& insn = program.insns[slot];
    const bool is_call = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
    const bool is_address = insn.code == op::kLddw && insn.src == op::kFunc;
    const int64_t target = int64_t{slot} + 1 + insn.imm;
    if ((!is_call && !is_address) || target < 0 || classify(insn) == nullptr) {
        return std::nullopt;
    }
    const auto found = std::ranges::lower_bound(program.functions, target, {},
                                                [](const LinkedFunction& f) { return int64_t{f.insn}; });
    if (found == program.functions.end() || found->insn != target) {
        return std::nullopt;
    }
    return static_cast<size_t>(found - program.functions.begin());
}

} // namespace

std::string named_text(const LinkedProgram& program, uint32_t slot, const std::vector<std::string>* names) {
    const Insn& insn = program.insns[slot];
    const std::string dst = reg(insn.dst, true) + " = ";
    const bool is_load = insn.code == op::kLddw;
    const auto ref = std::ranges::lower_bound(program.refs, slot, {}, &LinkedRef::insn);
    if (ref != program.refs.end() && ref->insn == slot) {
        if (ref->kind == RelocKind::Extern) {
            const std::string name = quote_name(program.object->externs[ref->target].name);
            return is_load ? dst + "extern " + name : "call " + name;
        }
        const std::string map = dst + "map[" + quote_name(program.object->maps[ref->target].name) + "]";
        return ref->kind == RelocKind::Map ? map : map + element(ref->offset);
    }
    if (const auto function = named_function(program, slot)) {
        return (is_load ? dst + "func " : "call ") +
               quote_name(names != nullptr ? (*names)[*function] : program.functions[*function].name);
    }
    return {};
}

Insn second_slot(const LinkedProgram& program, uint32_t slot) {
    return slot + 1 < program.insns.size() ? program.insns[slot + 1] : Insn{};
}

std::string disassemble(const LinkedProgram& program, uint32_t slot) {
    const std::string named = named_text(program, slot, nullptr);
    return named.empty() ? disassemble(program.insns[slot], second_slot(program, slot)) : named;
}

} // namespace mimicsh
