// SPDX-License-Identifier: MIT
// Lines of a traced run.
#include "vm/trace_text.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "vm/machine.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

constexpr size_t kBeside = 40; // column of the values

/// "packet+14", "-7", "0x1234".
std::string shown(const Machine& machine, uint64_t value) {
    constexpr int64_t kPlain = 65536; // numbers up to it in decimal
    if (std::string pointer = describe_pointer(machine, value); !pointer.empty()) {
        return pointer;
    }
    const auto number = static_cast<int64_t>(value);
    if (number > -kPlain && number < kPlain) {
        return std::to_string(number);
    }
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

/// The register that an instruction sets, when it does nothing else.
std::optional<uint32_t> result_register(const Insn& insn) {
    const InsnForm* form = classify(insn);
    if (form == nullptr) {
        return std::nullopt;
    }
    switch (form->kind) {
    case InsnKind::Alu:
    case InsnKind::Neg:
    case InsnKind::MovSx:
    case InsnKind::Endian:
    case InsnKind::Bswap:
    case InsnKind::AddrCast:
    case InsnKind::Load:
    case InsnKind::LoadSx:
    case InsnKind::LoadAcquire:
    case InsnKind::LoadImm64:
        return insn.dst;
    case InsnKind::LoadAbs:
    case InsnKind::LoadInd:
    case InsnKind::CallHelper:
    case InsnKind::CallKfunc:
    case InsnKind::CallReg:
        return 0;
    default:
        return std::nullopt;
    }
}

std::string named(const Machine& machine, uint32_t reg) {
    return "r" + std::to_string(reg) + " = " + shown(machine, machine.regs[reg]);
}

/// What makes the number of a call come again: the seed of bpf_get_prandom_u32.
std::string seed_of(const Machine& machine, const Insn& insn) {
    constexpr int32_t kRandom = 7;
    const bool is_random = insn.code == (op::kJmp | op::kCall) && insn.src == 0 && insn.imm == kRandom;
    return is_random ? ", seed " + std::to_string(machine.options.seed) : "";
}

/// What an instruction that sets no register looks at, before it does; the place that a load reads, too.
std::string operands(const Machine& machine, const Insn& insn) {
    const InsnForm* form = classify(insn);
    if (form == nullptr) {
        return {};
    }
    switch (form->kind) {
    case InsnKind::Load: // when it faults
    case InsnKind::LoadSx:
    case InsnKind::LoadAcquire:
        return named(machine, insn.src);
    case InsnKind::StoreImm:
        return named(machine, insn.dst);
    case InsnKind::StoreReg:
    case InsnKind::StoreRelease:
    case InsnKind::Atomic:
        return named(machine, insn.dst) + ", " + named(machine, insn.src);
    case InsnKind::Jump:
        return named(machine, insn.dst) + ((insn.code & op::kX) != 0 ? ", " + named(machine, insn.src) : "");
    case InsnKind::Exit:
        return named(machine, 0);
    default:
        return {};
    }
}

} // namespace

void TraceText::end_line(const std::string& values) {
    for (const std::string& part : {values, comment_}) {
        if (!part.empty()) {
            line_.resize(std::max(line_.size() + 1, kBeside), ' ');
            line_ += "; " + part;
        }
    }
    text_ += line_ + "\n";
    line_.clear();
}

void TraceText::end_instruction(const Machine& machine, bool is_done) {
    if (!line_.empty()) {
        const auto result = result_register(program_->insns[slot_]);
        end_line(result && is_done ? named(machine, *result) + seed_of(machine, program_->insns[slot_])
                                   : operands_);
    }
}

void TraceText::finish(const Machine& machine) {
    end_instruction(machine, !machine.pending);
}

void TraceText::before(const Machine& machine, const LinkedProgram& program, uint32_t slot) {
    // A call that a callback or another program follows has not returned.
    const bool follows = program_ == &program && slot == slot_ + 1;
    const bool is_call = program_ != nullptr && program_->insns[slot_].code == (op::kJmp | op::kCall);
    end_instruction(machine, follows || !is_call);
    if (text_.size() >= kMaxText) {
        return;
    }
    const ProgramText& lines = programs_.try_emplace(&program, program).first->second;
    if (const std::string function = lines.function_at(slot); !function.empty()) {
        text_ += function + ":\n";
    }
    if (const std::string label = lines.label_at(slot); !label.empty()) {
        text_ += label + ":\n";
    }
    const std::string text = lines.text(slot);
    const SourceNote note = notes_.next(program, slot, text);
    if (!note.above.empty()) {
        text_ += note.above + "\n";
    }
    comment_ = note.more;
    char number[16];
    std::snprintf(number, sizeof number, "%5u: ", slot);
    line_ = number + text;
    program_ = &program;
    slot_ = slot;
    operands_ = operands(machine, program.insns[slot]);
}

} // namespace mimicsh::vm
