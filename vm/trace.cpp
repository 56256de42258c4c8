// SPDX-License-Identifier: MIT
// The tracer: text of a traced run and provenance of registers.
#include "vm/trace.h"

#include "vm/machine.h"
#include "vm/program.h"

namespace mimicsh::vm {

void Tracer::before(const Machine& machine, uint32_t slot) {
    if (machine.at == last_) {
        // A loop of one instruction comes back to the same operation; it still counts.
    } else if (machine.code->ops.data() != machine.at && machine.code->slot_of(machine.at - 1) == slot) {
        return; // second operation of one instruction (a bounds proof goes before its jump)
    }
    last_ = machine.at;
    ++instructions_;
    if (step_) {
        step_();
    }
    const LinkedProgram& program = machine.code->program->linked();
    if (wants_text_) {
        text_.before(machine, program, slot);
    }
    follow(machine, program, slot);
}

void Tracer::follow(const Machine& machine, const LinkedProgram& program, uint32_t slot) {
    const Insn& insn = program.insns[slot];
    const InsnForm* form = classify(insn);
    if (form == nullptr) {
        return;
    }
    const auto made_here = [slot] { return Origin{slot, {}, 0}; };
    overwritten_reg_ = form->kind == InsnKind::CallHelper ? 0 : insn.dst;
    overwritten_ = regs_[overwritten_reg_];
    switch (form->kind) {
    case InsnKind::Alu:
        if ((insn.code & 0xf0) == op::kMov) {
            regs_[insn.dst] = (insn.code & op::kX) != 0 ? regs_[insn.src] : made_here();
        } else {
            // A pointer may be the right operand of the addition that makes the sum.
            if ((insn.code & op::kX) != 0 && handle_of(machine.regs[insn.dst]) == 0) {
                regs_[insn.dst] = regs_[insn.src];
            }
            Origin& origin = regs_[insn.dst];
            if (origin.moved_at.size() < 8) {
                origin.moved_at.push_back(slot);
            }
        }
        break;
    case InsnKind::Load:
    case InsnKind::LoadSx: {
        const uint64_t addr = machine.regs[insn.src] + static_cast<uint64_t>(int64_t{insn.off});
        const auto spill = spills_.find(addr);
        regs_[insn.dst] = spill != spills_.end() ? spill->second : made_here();
        break;
    }
    case InsnKind::StoreReg: {
        const uint64_t addr = machine.regs[insn.dst] + static_cast<uint64_t>(int64_t{insn.off});
        if (access_size(insn.code) == 8 && (spills_.size() < kMaxSpills || spills_.contains(addr))) {
            spills_[addr] = regs_[insn.src];
        } else {
            spills_.erase(addr);
        }
        break;
    }
    case InsnKind::LoadImm64:
    case InsnKind::Neg:
    case InsnKind::MovSx:
    case InsnKind::Endian:
    case InsnKind::Bswap:
        regs_[insn.dst] = made_here();
        break;
    case InsnKind::CallHelper:
        regs_[0] = made_here();
        break;
    default:
        break;
    }
}

} // namespace mimicsh::vm
