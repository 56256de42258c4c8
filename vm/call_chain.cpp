// SPDX-License-Identifier: MIT
// Call chains before a run: depth, stack and recursion (kernel/bpf/verifier.c, check_max_stack_depth), and
// what functions that may end the program return.
#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "vm/analysis.h"
#include "vm/decode.h"

namespace mimicsh::vm {

namespace {

/// What a frame is rounded up to where programs are compiled (round_up_stack_depth in kernel/bpf/verifier.c).
constexpr uint32_t kStackUnit = 16;

/// Stack of all callers from which on a subprogram may not tail call: what it jumps to begins on top of it.
constexpr uint32_t kMaxBeforeTailCall = 256;

constexpr int32_t kTailCall = 12;

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
        if (function != 0 && here.tail_call && stack >= kMaxBeforeTailCall) {
            return load_refusal(program_, *here.tail_call, EACCES,
                                "bpf_tail_call below functions that use " + std::to_string(stack) +
                                    " bytes of stack together, fewer than " +
                                    std::to_string(kMaxBeforeTailCall) + " are allowed");
        }
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

    /// A function below the program that may end it gives its result to the program's caller, so the kernel
    /// wants to know its type (check_btf_func in kernel/bpf/verifier.c).
    [[nodiscard]] Status check_results() const {
        // The kernel is told the types of all functions or of none.
        const bool typed = std::ranges::count(program_.functions, 0u, &LinkedFunction::btf_id) == 0;
        for (size_t i = 1; i < functions_.size(); ++i) {
            const Function& here = functions_[i];
            const auto ends = here.packet_load && typed ? here.packet_load : here.tail_call;
            if (ends && !(typed && returns_number(program_.functions[i].btf_id))) {
                return load_refusal(program_, *ends, EINVAL,
                                    std::string(ends == here.tail_call ? "bpf_tail_call" : "packet loads") +
                                        " in function " + program_.functions[i].name + ", which " +
                                        (typed ? "does not return a number" : "has no BTF"));
            }
        }
        return {};
    }

  private:
    struct Function {
        std::vector<std::pair<uint32_t, uint32_t>> calls; ///< slot and function called
        std::optional<uint32_t> tail_call;                ///< slot of the first
        std::optional<uint32_t> packet_load;              ///< the same of BPF_LD_ABS and BPF_LD_IND
        uint32_t depth = 0;                               ///< bytes of its frame
        uint32_t seen_stack = 0;                          ///< most bytes in use when it was walked
        uint32_t seen_frames = 0;
    };

    [[nodiscard]] bool returns_number(uint32_t function) const {
        const Btf& btf = *program_.object->btf;
        const BtfType& result = btf.type(btf.resolve(btf.type(btf.type(function).type).type));
        return result.kind == BtfKind::Enum || result.kind == BtfKind::Enum64 ||
               (result.kind == BtfKind::Int && result.size <= 8);
    }

    /// Of a wide load, the second half too: it has no registers and no code. Most instructions are neither.
    void note(Function& here, uint32_t slot, const Insn& insn) const {
        const bool on_stack = (insn.dst == 10) | (insn.src == 10);
        const bool may_call = (insn.code == (op::kJmp | op::kCall)) | ((insn.code & 7) == op::kLd);
        if (!(on_stack | may_call)) [[likely]] {
            return;
        }
        const uint8_t mode = insn.code & 0xe0;
        if ((insn.code & 7) == op::kLd && (mode == op::kAbs || mode == op::kInd) && !here.packet_load) {
            here.packet_load = slot;
        }
        if (on_stack) {
            note_stack(here, slot, insn);
        } else {
            note_call(here, slot, insn);
        }
    }

    void note_call(Function& here, uint32_t slot, const Insn& insn) const {
        if (insn.code == (op::kJmp | op::kCall) && insn.src == 0 && insn.imm == kTailCall &&
            !here.tail_call) {
            here.tail_call = slot;
        }
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
    Status ok = chains.check_results();
    ok = ok ? chains.walk(0, 1, 0, 0) : ok;
    for (size_t i = 0; ok && i < analysis.async_callbacks.size(); ++i) {
        const uint32_t slot = analysis.async_callbacks[i];
        ok = chains.walk(program.function_at(slot), 1, 0, slot);
    }
    return ok;
}

} // namespace mimicsh::vm
