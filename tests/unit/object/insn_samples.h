// SPDX-License-Identifier: MIT
// Instructions of every form, with operands swept over their extremes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "object/insn.h"

namespace mimicsh::test {

struct Sample {
    const InsnForm* form;
    Insn insn;
    Insn second; ///< of a 64-bit load
};

inline bool has_dst(InsnKind kind) {
    switch (kind) {
    case InsnKind::LoadAbs:
    case InsnKind::LoadInd:
    case InsnKind::Goto:
    case InsnKind::MayGoto:
    case InsnKind::CallHelper:
    case InsnKind::CallLocal:
    case InsnKind::CallKfunc:
    case InsnKind::Exit:
        return false;
    default:
        return true;
    }
}

/// Every combination of a few registers, offsets and immediates that the form's fields allow.
inline std::vector<Sample> samples_of(const InsnForm& form) {
    const auto pick = [](int32_t fixed, bool any, std::vector<int32_t> values) {
        return any ? std::move(values) : std::vector<int32_t>{fixed};
    };
    const auto dsts = pick(0, has_dst(form.kind), {0, 1, 5, 9, 10});
    const auto srcs = pick(form.src, form.src < 0, {0, 2, 10});
    const auto offs = pick(form.off, form.off == InsnForm::kAnyField, {0, 1, -1, 8, INT16_MAX, INT16_MIN});
    const auto imms = pick(form.imm, form.imm == InsnForm::kAnyField,
                           {0, 1, -1, 12, 255, 65536, 0x7ffffffe, INT32_MAX, INT32_MIN});
    const bool is_pair = form.kind == InsnKind::LoadImm64;
    const bool has_upper =
        is_pair && form.src != op::kMapFd && form.src != op::kMapIdx && form.src != op::kFunc;
    const auto uppers = pick(0, has_upper, {0, 1, -1, INT32_MAX, INT32_MIN});
    std::vector<Sample> out;
    for (const int32_t dst : dsts) {
        for (const int32_t src : srcs) {
            for (const int32_t off : offs) {
                for (const int32_t imm : imms) {
                    for (const int32_t upper : uppers) {
                        Insn insn;
                        insn.code = form.code;
                        insn.dst = static_cast<uint8_t>(dst) & 0xf;
                        insn.src = static_cast<uint8_t>(src) & 0xf;
                        insn.off = static_cast<int16_t>(off);
                        insn.imm = imm;
                        out.push_back({&form, insn, {0, 0, 0, 0, upper}});
                    }
                }
            }
        }
    }
    return out;
}

} // namespace mimicsh::test
