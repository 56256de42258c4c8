// SPDX-License-Identifier: MIT
// Call chains before a run: depth, stack and recursion (kernel/bpf/verifier.c, check_max_stack_depth).
#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "vm/decode.h"

namespace mimicsh::vm {

namespace {

/// What a frame is rounded up to where programs are compiled (round_up_stack_depth in kernel/bpf/verifier.c).
constexpr uint32_t kStackUnit = 16;

class Chains {
  public:
    Chains(const LinkedProgram& program, const std::vector<uint32_t>& async)
        : program_(program), async_(async.begin(), async.end()) {
        for (uint32_t slot = 0; slot < program.insns.size(); slot += slot_count(program.insns[slot])) {
            note(slot, program.insns[slot]);
        }
    }

    Status walk(uint32_t function, uint32_t frames, uint32_t stack, uint32_t call_slot) {
        if (frames > abi::kMaxCallFrames || std::ranges::count(path_, function) != 0) {
            return load_refusal(program_, call_slot, E2BIG,
                                std::ranges::count(path_, function) != 0
                                    ? "function " + program_.functions[function].name + " calls itself"
                                    : "call chain deeper than 8 frames");
        }
        const uint32_t own = round_up(depth_[function], kStackUnit);
        if (stack + own > abi::kStackSize) {
            return load_refusal(program_, call_slot, EACCES,
                                "the functions of this call chain use " + std::to_string(stack + own) +
                                    " bytes of stack together, at most 512 are allowed");
        }
        uint32_t& deepest = seen_[function];
        if (deepest >= stack + own && frames <= seen_frames_[function]) {
            return {}; // was reached with as much before
        }
        deepest = std::max(deepest, stack + own);
        seen_frames_[function] = std::max(seen_frames_[function], frames);
        path_.push_back(function);
        for (const auto& [slot, callee] : calls_[function]) {
            if (auto ok = walk(callee, frames + 1, stack + own, slot); !ok) {
                return ok;
            }
        }
        path_.pop_back();
        return {};
    }

  private:
    void note(uint32_t slot, const Insn& insn) {
        const uint32_t function = program_.function_at(slot);
        const bool local = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
        if (local || (insn.code == op::kLddw && insn.src == op::kFunc)) {
            const auto target = static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm);
            if (local || !async_.contains(target)) {
                calls_[function].emplace_back(slot, program_.function_at(target));
            }
        }
        const InsnForm* form = insn.dst == 10 || insn.src == 10 ? classify(insn) : nullptr;
        if (form == nullptr) {
            return;
        }
        // Stack is used through r10 directly or through a copy with a constant added right away.
        const bool stores = form->kind == InsnKind::StoreImm || form->kind == InsnKind::StoreReg ||
                            form->kind == InsnKind::Atomic;
        const bool loads = form->kind == InsnKind::Load || form->kind == InsnKind::LoadSx;
        if ((stores && insn.dst == 10) || (loads && insn.src == 10)) {
            use(function, insn.off);
        }
        const bool copies = insn.code == (op::kAlu64 | op::kMov | op::kX) && insn.src == 10;
        if (copies && slot + 1 < program_.insns.size()) {
            const Insn& next = program_.insns[slot + 1];
            if (next.code == (op::kAlu64 | op::kAdd) && next.dst == insn.dst) {
                use(function, next.imm);
            }
        }
    }

    void use(uint32_t function, int32_t offset) {
        if (offset < 0 && offset >= -int32_t{abi::kStackSize}) {
            depth_[function] = std::max(depth_[function], static_cast<uint32_t>(-offset));
        }
    }

    const LinkedProgram& program_;
    std::set<uint32_t> async_;
    std::map<uint32_t, std::vector<std::pair<uint32_t, uint32_t>>> calls_;
    std::map<uint32_t, uint32_t> depth_;
    std::map<uint32_t, uint32_t> seen_;
    std::map<uint32_t, uint32_t> seen_frames_;
    std::vector<uint32_t> path_;
};

} // namespace

Status check_stack(const LinkedProgram& program, const std::vector<uint32_t>& async_callbacks) {
    Chains chains(program, async_callbacks);
    Status ok = chains.walk(0, 1, 0, 0);
    for (size_t i = 0; ok && i < async_callbacks.size(); ++i) {
        ok = chains.walk(program.function_at(async_callbacks[i]), 1, 0, async_callbacks[i]);
    }
    return ok;
}

} // namespace mimicsh::vm
