// SPDX-License-Identifier: MIT
// Call chains before a run: depth, stack and recursion (kernel/bpf/verifier.c, check_max_stack_depth).
#include <algorithm>
#include <cerrno>
#include <vector>

#include "vm/analysis.h"
#include "vm/decode.h"

namespace mimicsh::vm {

namespace {

/// What a frame is rounded up to where programs are compiled (round_up_stack_depth in kernel/bpf/verifier.c).
constexpr uint32_t kStackUnit = 16;

constexpr uint32_t bit_of(InsnKind kind) {
    return 1u << static_cast<uint32_t>(kind);
}
constexpr uint32_t kStores =
    bit_of(InsnKind::StoreImm) | bit_of(InsnKind::StoreReg) | bit_of(InsnKind::Atomic);
constexpr uint32_t kLoads = bit_of(InsnKind::Load) | bit_of(InsnKind::LoadSx);

bool is_one_of(InsnKind kind, uint32_t bits) {
    return (bits & bit_of(kind)) != 0;
}

class Chains {
  public:
    Chains(const LinkedProgram& program, const Analysis& analysis)
        : program_(program), analysis_(analysis), functions_(program.functions.size()) {
        for (size_t i = 0; i < functions_.size(); ++i) {
            const auto end = static_cast<uint32_t>(i + 1 < functions_.size() ? program.functions[i + 1].insn
                                                                             : program.insns.size());
            for (uint32_t slot = program.functions[i].insn; slot < end; ++slot) {
                note(functions_[i], slot, program.insns[slot]);
            }
        }
    }

    Status walk(uint32_t function, uint32_t frames, uint32_t stack, uint32_t call_slot) {
        if (frames > abi::kMaxCallFrames || std::ranges::count(path_, function) != 0) {
            return load_refusal(program_, call_slot, E2BIG,
                                std::ranges::count(path_, function) != 0
                                    ? "function " + program_.functions[function].name + " calls itself"
                                    : "call chain deeper than 8 frames");
        }
        Function& here = functions_[function];
        const uint32_t own = round_up(here.depth, kStackUnit);
        if (stack + own > abi::kStackSize) {
            return load_refusal(program_, call_slot, EACCES,
                                "the functions of this call chain use " + std::to_string(stack + own) +
                                    " bytes of stack together, at most 512 are allowed");
        }
        if (here.seen_stack >= stack + own && frames <= here.seen_frames) {
            return {}; // was reached with as much before
        }
        here.seen_stack = std::max(here.seen_stack, stack + own);
        here.seen_frames = std::max(here.seen_frames, frames);
        path_.push_back(function);
        for (const auto& [slot, callee] : here.calls) {
            if (auto ok = walk(callee, frames + 1, stack + own, slot); !ok) {
                return ok;
            }
        }
        path_.pop_back();
        return {};
    }

  private:
    struct Function {
        std::vector<std::pair<uint32_t, uint32_t>> calls; ///< slot and function called
        uint32_t depth = 0;                               ///< bytes of its frame
        uint32_t seen_stack = 0;                          ///< most bytes in use when it was walked
        uint32_t seen_frames = 0;
    };

    /// Of a wide load, the second half too: it has no registers and no code. Most instructions are neither.
    void note(Function& here, uint32_t slot, const Insn& insn) const {
        const bool on_stack = (insn.dst == 10) | (insn.src == 10);
        const bool may_call = (insn.code == (op::kJmp | op::kCall)) | (insn.code == op::kLddw);
        if (!(on_stack | may_call)) [[likely]] {
            return;
        }
        if (on_stack) {
            note_stack(here, slot, insn);
        } else {
            note_call(here, slot, insn);
        }
    }

    void note_call(Function& here, uint32_t slot, const Insn& insn) const {
        const bool local = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
        if (local || (insn.code == op::kLddw && insn.src == op::kFunc)) {
            const auto target = static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm);
            if (local || std::ranges::count(analysis_.async_callbacks, target) == 0) {
                here.calls.emplace_back(slot, program_.function_at(target));
            }
        }
    }

    /// Stack is used through r10 directly or through a copy with a constant added right away.
    void note_stack(Function& here, uint32_t slot, const Insn& insn) const {
        const InsnForm* form = analysis_.forms[slot];
        if (form == nullptr) {
            return;
        }
        const bool stores = is_one_of(form->kind, kStores) & (insn.dst == 10);
        const bool loads = is_one_of(form->kind, kLoads) & (insn.src == 10);
        if (stores | loads) {
            use(here, insn.off);
        }
        const bool copies = insn.code == (op::kAlu64 | op::kMov | op::kX) && insn.src == 10;
        if (copies && slot + 1 < program_.insns.size()) {
            const Insn& next = program_.insns[slot + 1];
            if (next.code == (op::kAlu64 | op::kAdd) && next.dst == insn.dst) {
                use(here, next.imm);
            }
        }
    }

    static void use(Function& here, int32_t offset) {
        if (offset < 0 && offset >= -int32_t{abi::kStackSize}) {
            here.depth = std::max(here.depth, static_cast<uint32_t>(-offset));
        }
    }

    const LinkedProgram& program_;
    const Analysis& analysis_;
    std::vector<Function> functions_;
    std::vector<uint32_t> path_;
};

} // namespace

Status check_stack(const LinkedProgram& program, const Analysis& analysis) {
    Chains chains(program, analysis);
    Status ok = chains.walk(0, 1, 0, 0);
    for (size_t i = 0; ok && i < analysis.async_callbacks.size(); ++i) {
        const uint32_t slot = analysis.async_callbacks[i];
        ok = chains.walk(program.function_at(slot), 1, 0, slot);
    }
    return ok;
}

} // namespace mimicsh::vm
