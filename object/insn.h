// SPDX-License-Identifier: MIT
// The eBPF instruction: its encoding and the one table of all instruction forms (RFC 9669 and Linux 6.18's
// include/linux/filter.h). Decoder, disassembler, assembler and the support page read this table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace mimicsh {

/// One 8-byte slot, as stored in ELF files and passed to the kernel. A 64-bit immediate load takes two slots.
struct Insn {
    uint8_t code = 0;
    uint8_t dst : 4 = 0;
    uint8_t src : 4 = 0;
    int16_t off = 0;
    int32_t imm = 0;

    friend bool operator==(const Insn&, const Insn&) = default;
};
static_assert(sizeof(Insn) == 8);

namespace op {
// Classes (low three bits).
inline constexpr uint8_t kLd = 0, kLdx = 1, kSt = 2, kStx = 3, kAlu = 4, kJmp = 5, kJmp32 = 6, kAlu64 = 7;
// Sizes (bits 3-4 of loads and stores).
inline constexpr uint8_t kW = 0x00, kH = 0x08, kB = 0x10, kDw = 0x18;
// Modes (bits 5-7 of loads and stores).
inline constexpr uint8_t kImm = 0x00, kAbs = 0x20, kInd = 0x40, kMem = 0x60, kMemSx = 0x80, kAtomic = 0xc0;
// Operand source (bit 3 of ALU and JMP).
inline constexpr uint8_t kK = 0x00, kX = 0x08;
// ALU operations (high four bits).
inline constexpr uint8_t kAdd = 0x00, kSub = 0x10, kMul = 0x20, kDiv = 0x30, kOr = 0x40, kAnd = 0x50,
                         kLsh = 0x60, kRsh = 0x70, kNeg = 0x80, kMod = 0x90, kXor = 0xa0, kMov = 0xb0,
                         kArsh = 0xc0, kEnd = 0xd0;
// JMP operations.
inline constexpr uint8_t kJa = 0x00, kJeq = 0x10, kJgt = 0x20, kJge = 0x30, kJset = 0x40, kJne = 0x50,
                         kJsgt = 0x60, kJsge = 0x70, kCall = 0x80, kExit = 0x90, kJlt = 0xa0, kJle = 0xb0,
                         kJslt = 0xc0, kJsle = 0xd0, kJcond = 0xe0;
// Atomic operations (imm).
inline constexpr int32_t kFetch = 0x01, kXchg = 0xe1, kCmpxchg = 0xf1, kLoadAcquire = 0x100,
                         kStoreRelease = 0x110;
// LDDW source register values (BPF_PSEUDO_*).
inline constexpr uint8_t kMapFd = 1, kMapValue = 2, kBtfId = 3, kFunc = 4, kMapIdx = 5, kMapIdxValue = 6;
// CALL source register values.
inline constexpr uint8_t kCallHelper = 0, kCallLocal = 1, kCallKfunc = 2;
inline constexpr uint8_t kLddw = kLd | kImm | kDw;
} // namespace op

/// ISA revision that introduced a form, in clang's -mcpu numbering; later kernel additions have their own.
enum class IsaLevel : uint8_t {
    V1,
    V2,
    V3,
    V4,
    MayGoto /* 6.10 */,
    LoadAcquire /* 6.15 */,
    Arena /* 6.9 */,
    Future
};

/// What an instruction form is, and so how it prints, parses and executes.
enum class InsnKind : uint8_t {
    Alu,      ///< dst op= src|imm, 32 or 64 bit
    Neg,      ///< dst = -dst
    MovSx,    ///< dst = (s8|s16|s32)src, width in off
    Endian,   ///< htole/htobe of ALU END, width in imm
    Bswap,    ///< unconditional swap of ALU64 END, width in imm
    AddrCast, ///< addr_space_cast
    Load,     ///< dst = *(uN *)(src + off)
    LoadSx,   ///< dst = *(sN *)(src + off)
    StoreReg, ///< *(uN *)(dst + off) = src
    StoreImm, ///< *(uN *)(dst + off) = imm
    Atomic,   ///< lock *(uN *)(dst + off) op= src, with and without fetch, xchg, cmpxchg
    LoadAcquire,
    StoreRelease,
    LoadImm64, ///< two slots; src says what the immediate refers to
    LoadAbs,   ///< r0 = *(uN *)skb[imm]
    LoadInd,   ///< r0 = *(uN *)skb[src + imm]
    Jump,      ///< if dst cmp src|imm goto off, 32 or 64 bit
    Goto,      ///< goto off (ja) or goto imm (gotol)
    MayGoto,
    CallHelper,
    CallLocal,
    CallKfunc,
    CallReg, ///< callx: no released kernel takes it
    GotoReg, ///< gotox (6.19)
    Exit,
};

/// One row of the table: the bits that identify the form, and what it is.
struct InsnForm {
    uint8_t code;
    int16_t src = -1;        ///< required src field, -1 = operand or don't care (see `uses_src`)
    int32_t off = kAnyField; ///< required off field, kAnyField = operand
    int32_t imm = kAnyField; ///< required imm field, kAnyField = operand
    InsnKind kind;
    IsaLevel level;
    std::string_view mnemonic; ///< unique name of the form for the support page ("add64_imm", "ldxw",
                               ///< "atomic_fetch_add32")

    static constexpr int32_t kAnyField = INT32_MIN;
};

/// All forms, grouped by class. 64-bit immediate loads appear once per src kind.
[[nodiscard]] std::span<const InsnForm> insn_forms();

/// The form of an instruction, or null when it is none: an opcode no kernel has, or a field that must be zero
/// is not. For a two-slot load only the first slot is looked at; the second must have code, dst, src and off
/// 0.
[[nodiscard]] const InsnForm* classify(const Insn& insn);

/// Bytes moved by a load, store or atomic opcode (1, 2, 4, 8).
[[nodiscard]] constexpr uint32_t access_size(uint8_t code) {
    switch (code & 0x18) {
    case op::kB:
        return 1;
    case op::kH:
        return 2;
    case op::kW:
        return 4;
    default:
        return 8;
    }
}

/// 1, or 2 for a 64-bit immediate load.
[[nodiscard]] constexpr uint32_t slot_count(const Insn& insn) {
    return insn.code == op::kLddw ? 2 : 1;
}

} // namespace mimicsh
