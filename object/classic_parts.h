// SPDX-License-Identifier: MIT
// What the two halves of classic BPF share: its encoding, and what an instruction is.
#pragma once

#include <optional>
#include <string>

#include "object/classic_bpf.h"

namespace mimicsh::classic {

// Encoding of classic BPF where it is not that of eBPF (include/uapi/linux/bpf_common.h).
constexpr uint16_t kClassLd = 0, kClassLdx = 1, kClassSt = 2, kClassStx = 3, kClassAlu = 4, kClassJmp = 5,
                   kClassRet = 6, kClassMisc = 7;
constexpr uint16_t kModeImm = 0x00, kModeAbs = 0x20, kModeInd = 0x40, kModeMem = 0x60, kModeLen = 0x80,
                   kModeMsh = 0xa0;
constexpr uint16_t kRetA = 0x10, kTxa = 0x80;
constexpr uint32_t kWords = 16; // of scratch memory

constexpr uint16_t class_of(uint16_t code) {
    return code & 7;
}
constexpr uint16_t mode_of(uint16_t code) {
    return code & 0xe0;
}
constexpr uint16_t operation_of(uint16_t code) {
    return code & 0xf0;
}
constexpr bool by_x(uint16_t code) {
    return (code & op::kX) != 0;
}

/// An arithmetic operation.
struct Named {
    uint16_t operation;
    const char* name;
    const char* sign;
};

/// None for what is no operation with two operands.
[[nodiscard]] const Named* arithmetic(uint16_t code);

/// What an instruction is.
enum class What : uint8_t {
    LoadPacket,
    LoadHeaderLength,
    LoadLength,
    Immediate,
    LoadWord,
    StoreWord,
    Alu,
    Negate,
    Goto,
    Jump,
    ReturnA,
    ReturnK,
    ToX,
    ToA
};

/// Nothing when there is no such instruction.
[[nodiscard]] std::optional<What> what_is(const ClassicInsn& insn);

/// "0x1f"
[[nodiscard]] std::string hex(uint32_t number);

} // namespace mimicsh::classic
