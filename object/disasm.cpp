// SPDX-License-Identifier: MIT
// Printing instructions.
#include "object/disasm.h"

#include <algorithm>
#include <cstdio>

namespace mimicsh {

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
    const std::string bits = wide ? "64" : "32";
    if (insn.imm == op::kXchg) {
        return reg(insn.src, wide) + " = xchg_" + bits + "(" + place(insn.dst, insn.off) + ", " +
               reg(insn.src, wide) + ")";
    }
    if (insn.imm == op::kCmpxchg) {
        return reg(0, wide) + " = cmpxchg_" + bits + "(" + place(insn.dst, insn.off) + ", " + reg(0, wide) +
               ", " + reg(insn.src, wide) + ")";
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

std::string wide_text(const Insn& insn, const Insn& second) {
    const std::string dst = reg(insn.dst, true) + " = ";
    const uint64_t value = static_cast<uint32_t>(insn.imm) | uint64_t{static_cast<uint32_t>(second.imm)}
                                                                 << 32;
    switch (insn.src) {
    case 0:
        return dst + hex(value) + " ll";
    case op::kMapFd:
        return dst + "map_fd[" + std::to_string(insn.imm) + "]";
    case op::kMapValue:
        return dst + "map_fd[" + std::to_string(insn.imm) + "][0] + " + std::to_string(second.imm);
    case op::kBtfId:
        return dst + "btf_id[" + std::to_string(insn.imm) + "] fd " + std::to_string(second.imm);
    case op::kFunc:
        return dst + "func " + distance(insn.imm);
    case op::kMapIdx:
        return dst + "map_idx[" + std::to_string(insn.imm) + "]";
    default:
        return dst + "map_idx[" + std::to_string(insn.imm) + "][0] + " + std::to_string(second.imm);
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
        return ".bytes " + to_hex({reinterpret_cast<const uint8_t*>(&insn), sizeof insn});
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

std::string disassemble(const LinkedProgram& program, uint32_t slot) {
    const Insn& insn = program.insns[slot];
    const Insn second = slot + 1 < program.insns.size() ? program.insns[slot + 1] : Insn{};
    const auto ref = std::ranges::lower_bound(program.refs, slot, {}, &LinkedRef::insn);
    const bool has_ref = ref != program.refs.end() && ref->insn == slot;
    if (insn.code == op::kLddw && has_ref && ref->kind != RelocKind::Extern) {
        const std::string dst =
            reg(insn.dst, true) + " = map[" + program.object->maps[ref->target].name + "]";
        return ref->kind == RelocKind::Map ? dst : dst + "[0] + " + std::to_string(ref->offset);
    }
    if (has_ref && ref->kind == RelocKind::Extern) {
        const std::string& name = program.object->externs[ref->target].name;
        return insn.code == op::kLddw ? reg(insn.dst, true) + " = extern " + name : "call " + name;
    }
    const bool local = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
    if (local || (insn.code == op::kLddw && insn.src == op::kFunc)) {
        const auto target = static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm);
        const auto function = std::ranges::lower_bound(program.functions, target, {}, &LinkedFunction::insn);
        if (function != program.functions.end() && function->insn == target) {
            return local ? "call " + function->name : reg(insn.dst, true) + " = func " + function->name;
        }
    }
    return disassemble(insn, second);
}

} // namespace mimicsh
