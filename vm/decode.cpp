// SPDX-License-Identifier: MIT
// Decoding: one operation per instruction, then pairs are fused and jumps turned into byte distances.
#include "vm/decode.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "vm/context/xdp_md.h"
#include "vm/interp.h"
#include "vm/machine.h"
#include "vm/support.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kNoTarget = 0xffffffff;
constexpr uint32_t kLookup = 1;
constexpr uint32_t kTailCall = 12;

/// An operation on its way: its code instead of a label, its jump target as a slot.
struct Draft {
    OpCode code = OpCode::refused;
    Op op;
    uint32_t slot = 0;
    uint32_t access = kNoTarget; ///< of a pair: slot of the memory access, when it is not the first
    uint32_t target = kNoTarget;
    bool leader = false; ///< something jumps here, so it cannot be the second half of a pair
};

constexpr OpCode plus(OpCode base, int by) {
    return static_cast<OpCode>(static_cast<int>(base) + by);
}

/// The `_k` operation for an ALU instruction; `_x` is the next one.
OpCode alu_code(const Insn& insn) {
    const bool wide = (insn.code & 7) == op::kAlu64;
    const bool is_signed = insn.off == 1;
    switch (insn.code & 0xf0) {
#define VM_CASE(bits, name)                                                                                  \
    case bits:                                                                                               \
        return wide ? OpCode::name##64_k : OpCode::name##32_k;
        VM_CASE(op::kMov, mov)
        VM_CASE(op::kAdd, add)
        VM_CASE(op::kSub, sub)
        VM_CASE(op::kMul, mul)
        VM_CASE(op::kOr, or)
        VM_CASE(op::kAnd, and)
        VM_CASE(op::kXor, xor)
        VM_CASE(op::kLsh, lsh)
        VM_CASE(op::kRsh, rsh)
        VM_CASE(op::kArsh, arsh)
    case op::kDiv:
        return is_signed ? (wide ? OpCode::sdiv64_k : OpCode::sdiv32_k)
                         : (wide ? OpCode::div64_k : OpCode::div32_k);
    default:
        return is_signed ? (wide ? OpCode::smod64_k : OpCode::smod32_k)
                         : (wide ? OpCode::mod64_k : OpCode::mod32_k);
    }
}

/// The `_k_f` operation for a conditional jump; +1 backward, +2 register, +3 both.
OpCode jump_code(const Insn& insn) {
    const bool wide = (insn.code & 7) == op::kJmp;
    switch (insn.code & 0xf0) {
#define VM_JUMP_CASE(bits, name)                                                                             \
    case bits:                                                                                               \
        return wide ? OpCode::name##64_k_f : OpCode::name##32_k_f;
        VM_JUMP_CASE(op::kJeq, jeq)
        VM_JUMP_CASE(op::kJne, jne)
        VM_JUMP_CASE(op::kJgt, jgt)
        VM_JUMP_CASE(op::kJge, jge)
        VM_JUMP_CASE(op::kJlt, jlt)
        VM_JUMP_CASE(op::kJle, jle)
        VM_JUMP_CASE(op::kJset, jset)
        VM_JUMP_CASE(op::kJsgt, jsgt)
        VM_JUMP_CASE(op::kJsge, jsge)
        VM_JUMP_CASE(op::kJslt, jslt)
    default:
        return wide ? OpCode::jsle64_k_f : OpCode::jsle32_k_f;
    }
#undef VM_JUMP_CASE
#undef VM_CASE
}

int log2_size(uint8_t code) {
    const uint32_t size = access_size(code);
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

/// Operations of one size stand six apart: ldx, stx, st, load_stack, store_stack, store_stack_imm.
OpCode sized(OpCode of_8_bits, uint8_t code) {
    constexpr int kStep = static_cast<int>(OpCode::ldx16) - static_cast<int>(OpCode::ldx8);
    return plus(of_8_bits, kStep * log2_size(code));
}

class Decoder {
  public:
    Decoder(const LinkedProgram& program, const Analysis& analysis, const DecodeOptions& options)
        : program_(program), analysis_(analysis), options_(options) {}

    Expected<Code> run() {
        const auto& insns = program_.insns;
        for (uint32_t slot = 0; slot < insns.size(); slot += slot_count(insns[slot])) {
            if (auto ok = add(slot, insns[slot]); !ok) {
                return ok.error();
            }
        }
        mark_leaders();
        if (!options_.traced) {
            fuse();
        }
        return finish();
    }

  private:
    [[nodiscard]] Error refuse(uint32_t slot, int code, const std::string& why, std::string hint = {}) const {
        return load_refusal(program_, slot, code, why, std::move(hint));
    }

    // -- One instruction --

    Status add(uint32_t slot, const Insn& insn) {
        const InsnForm* form = classify(insn);
        if (form == nullptr) {
            return refuse(slot, EINVAL,
                          "no kernel knows opcode 0x" + to_hex(ByteView(&insn.code, 1)) +
                              " with these fields");
        }
        Draft draft;
        draft.slot = slot;
        draft.op.dst = insn.dst;
        draft.op.src = insn.src;
        draft.op.a = insn.imm;
        switch (form->kind) {
        case InsnKind::Alu:
            if (auto ok = add_alu(draft, insn); !ok) {
                return ok;
            }
            break;
        case InsnKind::Neg:
            draft.code = (insn.code & 7) == op::kAlu64 ? OpCode::neg64 : OpCode::neg32;
            break;
        case InsnKind::MovSx: {
            const bool wide = (insn.code & 7) == op::kAlu64;
            draft.code = insn.off == 8    ? (wide ? OpCode::movsx8_64 : OpCode::movsx8_32)
                         : insn.off == 16 ? (wide ? OpCode::movsx16_64 : OpCode::movsx16_32)
                                          : OpCode::movsx32_64;
            break;
        }
        case InsnKind::Endian:
            draft.code =
                plus((insn.code & op::kX) != 0 ? OpCode::swap16 : OpCode::le16, insn.imm == 16   ? 0
                                                                                : insn.imm == 32 ? 1
                                                                                                 : 2);
            break;
        case InsnKind::Bswap:
            draft.code = plus(OpCode::swap16, insn.imm == 16 ? 0 : insn.imm == 32 ? 1 : 2);
            break;
        case InsnKind::LoadImm64:
            if (auto ok = add_wide(draft, slot, insn); !ok) {
                return ok;
            }
            break;
        case InsnKind::Load:
        case InsnKind::LoadSx:
        case InsnKind::LoadAcquire:
        case InsnKind::StoreReg:
        case InsnKind::StoreImm:
        case InsnKind::StoreRelease:
        case InsnKind::Atomic:
            add_memory(draft, slot, insn, *form);
            break;
        case InsnKind::LoadAbs:
        case InsnKind::LoadInd:
            if (options_.mode == Mode::Strict) {
                return refuse(slot, EINVAL,
                              "BPF_LD_ABS and BPF_LD_IND are for programs on socket buffers, not for " +
                                  std::string(abi::name(program_.spec.type)));
            }
            draft.code = OpCode::load_packet;
            draft.op.dst2 = static_cast<uint8_t>(access_size(insn.code));
            draft.op.src2 = form->kind == InsnKind::LoadInd ? 1 : 0;
            break;
        case InsnKind::Jump:
            add_jump(draft, slot, insn);
            break;
        case InsnKind::Goto:
            draft.target = static_cast<uint32_t>(int64_t{slot} + 1 +
                                                 (insn.code == (op::kJmp32 | op::kJa) ? insn.imm : insn.off));
            draft.code = draft.target <= slot ? OpCode::ja_b : OpCode::ja_f;
            break;
        case InsnKind::MayGoto:
            draft.target = static_cast<uint32_t>(int64_t{slot} + 1 + insn.off);
            draft.code = OpCode::may_goto;
            break;
        case InsnKind::CallHelper:
            return add_helper(draft, slot, insn);
        case InsnKind::CallLocal:
            draft.target = static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm);
            draft.code = OpCode::call_local;
            break;
        case InsnKind::Exit:
            draft.code = OpCode::exit;
            break;
        case InsnKind::CallKfunc:
            return refuse(slot, ENOTSUP, "kernel functions are not emulated",
                          "load(\"kernel\") runs it for real");
        case InsnKind::AddrCast:
            return refuse(slot, ENOTSUP, "arenas are not emulated");
        case InsnKind::CallReg:
        case InsnKind::GotoReg:
            return refuse(slot, ENOTSUP, std::string(form->mnemonic) + " is in no supported kernel");
        }
        drafts_.push_back(draft);
        return {};
    }

    Status add_alu(Draft& draft, const Insn& insn) {
        const bool by_register = (insn.code & op::kX) != 0;
        const uint8_t operation = insn.code & 0xf0;
        if (options_.mode == Mode::Strict && !by_register) {
            const int32_t width = (insn.code & 7) == op::kAlu64 ? 64 : 32;
            const bool shifts = operation == op::kLsh || operation == op::kRsh || operation == op::kArsh;
            if (shifts && (insn.imm < 0 || insn.imm >= width)) {
                return refuse(draft.slot, EINVAL,
                              "shift by " + std::to_string(insn.imm) + ", the register has " +
                                  std::to_string(width) + " bits");
            }
            if ((operation == op::kDiv || operation == op::kMod) && insn.imm == 0) {
                return refuse(draft.slot, EINVAL, "division by the constant 0");
            }
        }
        if (options_.mode == Mode::Strict && insn.dst == 10) {
            return refuse(draft.slot, EACCES, "r10 is read only");
        }
        draft.code = plus(alu_code(insn), by_register ? 1 : 0);
        return {};
    }

    Status add_wide(Draft& draft, uint32_t slot, const Insn& insn) {
        draft.code = OpCode::lddw;
        const auto low = static_cast<uint32_t>(insn.imm);
        const auto high = static_cast<uint32_t>(program_.insns[slot + 1].imm);
        uint64_t value = low | uint64_t{high} << 32;
        while (next_ref_ < program_.refs.size() && program_.refs[next_ref_].insn < slot) {
            ++next_ref_;
        }
        const bool has_ref = next_ref_ < program_.refs.size() && program_.refs[next_ref_].insn == slot;
        if (insn.src == op::kFunc) {
            value = make_addr(kCallbackHandle, static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm));
        } else if (has_ref) {
            const LinkedRef& ref = program_.refs[next_ref_];
            if (ref.kind == RelocKind::Extern) {
                const ExternDef& wanted = program_.object->externs[ref.target];
                return refuse(slot, ENOTSUP, "extern " + wanted.name + " is not emulated");
            }
            const VmMap& map = *options_.maps[ref.target];
            value = ref.kind == RelocKind::Map ? make_addr(map.handle(), 0) : map.value_addr(0) + ref.offset;
        } else if (insn.src != 0) {
            return refuse(slot, EINVAL, "64-bit load refers to something that the object does not name");
        }
        draft.op.a = static_cast<int32_t>(value);
        draft.op.b = static_cast<int32_t>(value >> 32);
        return {};
    }

    void add_memory(Draft& draft, uint32_t slot, const Insn& insn, const InsnForm& form) {
        const SlotFacts& facts = analysis_.slots[slot];
        const bool on_stack = facts.target == SlotFacts::Target::Stack;
        draft.op.a = on_stack ? facts.value : insn.off;
        draft.op.b = insn.imm;
        switch (form.kind) {
        case InsnKind::LoadSx:
            draft.op.a = insn.off;
            draft.code = plus(OpCode::ldsx8, log2_size(insn.code));
            return;
        case InsnKind::Load:
        case InsnKind::LoadAcquire:
            if (facts.target == SlotFacts::Target::Context) {
                draft.code = OpCode::ctx_load;
                draft.op.src = find_field(xdp_md_fields(), facts.value, access_size(insn.code))->index;
                return;
            }
            draft.code = sized(on_stack ? OpCode::load_stack8 : OpCode::ldx8, insn.code);
            return;
        case InsnKind::StoreImm:
            draft.code = sized(on_stack ? OpCode::store_stack_imm8 : OpCode::st8, insn.code);
            return;
        case InsnKind::Atomic:
            draft.code = OpCode::atomic;
            draft.op.a = insn.off;
            draft.op.dst2 = static_cast<uint8_t>(access_size(insn.code));
            return;
        default:
            draft.code = sized(on_stack ? OpCode::store_stack8 : OpCode::stx8, insn.code);
            return;
        }
    }

    void add_jump(Draft& draft, uint32_t slot, const Insn& insn) {
        const SlotFacts& facts = analysis_.slots[slot];
        if (facts.proves && analysis_.tracks_bounds) {
            Draft prove;
            prove.code = OpCode::prove;
            prove.slot = slot;
            prove.op.dst = facts.pointer;
            prove.op.src = facts.end;
            drafts_.push_back(prove);
        }
        draft.target = static_cast<uint32_t>(int64_t{slot} + 1 + insn.off);
        const bool backward = draft.target <= slot;
        draft.code = plus(jump_code(insn), (backward ? 1 : 0) + ((insn.code & op::kX) != 0 ? 2 : 0));
    }

    Status add_helper(Draft& draft, uint32_t slot, const Insn& insn) {
        const auto id = static_cast<uint32_t>(insn.imm);
        const std::string name = abi::helper_name(id).empty() ? "helper " + std::to_string(insn.imm)
                                                              : "bpf_" + std::string(abi::helper_name(id));
        if (abi::helper_name(id).empty()) {
            return refuse(slot, EINVAL, name + " is unknown");
        }
        if (options_.mode == Mode::Strict && !helper_allowed(program_.spec.type, id)) {
            return refuse(slot, EINVAL,
                          name + " cannot be called from " + std::string(abi::name(program_.spec.type)) +
                              " programs");
        }
        const SlotFacts& facts = analysis_.slots[slot];
        if (id == kLookup && facts.target == SlotFacts::Target::Map) {
            VmMap* map = options_.maps[static_cast<size_t>(facts.value)].get();
            draft.code = OpCode::lookup;
            std::memcpy(&draft.op.a, &map, sizeof map);
        } else if (id == kTailCall) {
            draft.code = OpCode::tail_call;
        } else {
            const HelperFn helper = helper_function(id);
            if (helper == nullptr) {
                return refuse(slot, ENOTSUP, name + " is not emulated",
                              "vm.support().helpers lists what is; load(\"kernel\") runs it for real");
            }
            draft.code = OpCode::call_helper;
            std::memcpy(&draft.op.a, &helper, sizeof helper);
        }
        drafts_.push_back(draft);
        return {};
    }

    // -- Fusion --

    void mark_leaders() {
        std::vector<bool> leader(program_.insns.size() + 1, false);
        for (const Draft& draft : drafts_) {
            if (draft.target != kNoTarget) {
                leader[draft.target] = true;
            }
        }
        for (const LinkedFunction& function : program_.functions) {
            leader[function.insn] = true;
        }
        uint32_t last = kNoTarget;
        for (Draft& draft : drafts_) {
            draft.leader = draft.slot != last && leader[draft.slot];
            last = draft.slot;
        }
    }

    void fuse() {
        std::vector<Draft> fused;
        fused.reserve(drafts_.size());
        for (size_t i = 0; i < drafts_.size(); ++i) {
            if (const auto bytes = two_bytes(i)) {
                fused.push_back(*bytes);
                i += 3;
                continue;
            }
            if (i + 1 < drafts_.size() && !drafts_[i + 1].leader) {
                if (const auto pair = special_pair(drafts_[i], drafts_[i + 1])) {
                    fused.push_back(*pair);
                    ++i;
                    continue;
                }
                if (const void* label = pair_label(drafts_[i], drafts_[i + 1])) {
                    fused.push_back(join(drafts_[i], drafts_[i + 1], label));
                    ++i;
                    continue;
                }
            }
            fused.push_back(drafts_[i]);
        }
        drafts_ = std::move(fused);
    }

    /// High byte, shift by 8, low byte, or: the four operations from `i` on as one, when they are that.
    [[nodiscard]] std::optional<Draft> two_bytes(size_t i) const {
        if (i + 3 >= drafts_.size() || drafts_[i + 1].leader || drafts_[i + 2].leader ||
            drafts_[i + 3].leader) {
            return std::nullopt;
        }
        const Draft& high = drafts_[i];
        const Draft& shift = drafts_[i + 1];
        const Draft& low = drafts_[i + 2];
        const Draft& merge = drafts_[i + 3];
        const bool shape = high.code == OpCode::ldx8 && low.code == OpCode::ldx8 &&
                           (shift.code == OpCode::lsh64_k || shift.code == OpCode::lsh32_k) &&
                           shift.op.a == 8 && (merge.code == OpCode::or64_x || merge.code == OpCode::or32_x);
        const uint8_t result = high.op.dst;
        const uint8_t byte = low.op.dst;
        const uint8_t base = high.op.src;
        if (!shape || shift.op.dst != result || merge.op.dst != result || merge.op.src != byte ||
            low.op.src != base || result == base || byte == base || result == byte ||
            high.op.a != low.op.a + 1) {
            return std::nullopt;
        }
        Draft joined = high;
        joined.code = OpCode::load_two_bytes;
        joined.op.dst2 = byte;
        joined.op.a = low.op.a;
        return joined;
    }

    /// Pairs that are an operation of their own: both ends of the packet loaded, a constant returned.
    static std::optional<Draft> special_pair(const Draft& first, const Draft& second) {
        Draft pair = first;
        if (first.code == OpCode::ctx_load && second.code == OpCode::ctx_load) {
            pair.code = OpCode::ctx_load_two;
            pair.op.dst2 = second.op.dst;
            pair.op.src2 = second.op.src;
            return pair;
        }
        if (first.code == OpCode::mov32_k && first.op.dst == 0 && second.code == OpCode::exit) {
            pair.code = OpCode::exit_with;
            return pair;
        }
        return std::nullopt;
    }

    static bool is_load(OpCode code) {
        return code == OpCode::ldx8 || code == OpCode::ldx16 || code == OpCode::ldx32 ||
               code == OpCode::ldx64;
    }
    static bool is_store(OpCode code) {
        return code == OpCode::stx8 || code == OpCode::stx16 || code == OpCode::stx32 ||
               code == OpCode::stx64;
    }
    /// log2 of the bytes that an ldx or stx operation moves.
    static int load_size(OpCode code) {
        return (static_cast<int>(code) - static_cast<int>(OpCode::ldx8)) /
               (static_cast<int>(OpCode::ldx16) - static_cast<int>(OpCode::ldx8));
    }
    static bool is_jump(OpCode code) { return code >= OpCode::jeq64_k_f && code <= OpCode::jsle32_x_b; }
    static bool is_backward(OpCode code) {
        return ((static_cast<int>(code) - static_cast<int>(OpCode::jeq64_k_f)) & 1) != 0;
    }

    /// Handler of a pair, or null when there is none for it.
    static const void* pair_label(const Draft& first, const Draft& second) {
        const Labels& table = fast_labels();
        if (first.code == OpCode::prove) {
            constexpr std::array<OpCode, 4> kProved{OpCode::jgt64_x_f, OpCode::jge64_x_f, OpCode::jlt64_x_f,
                                                    OpCode::jle64_x_f};
            for (size_t i = 0; i < kProved.size(); ++i) {
                if (second.code == kProved[i] || second.code == plus(kProved[i], 1)) {
                    return table.prove_jump[2 * i + (second.code == kProved[i] ? 0 : 1)];
                }
            }
            return nullptr;
        }
        const bool second_jumps = is_jump(second.code);
        const bool backward = second_jumps && is_backward(second.code);
        const int second_alu = pair_alu_index(second.code);
        const int second_jump = second_jumps ? pair_jump_index(plus(second.code, backward ? -1 : 0)) : -1;
        if (is_load(first.code)) {
            const int size = load_size(first.code);
            if (second_alu >= 0) {
                return table.load_alu[size * pair_alu_count() + second_alu];
            }
            if (second_jump >= 0) {
                return table.load_jump[(size * pair_jump_count() + second_jump) * 2 + (backward ? 1 : 0)];
            }
            if (is_store(second.code) && load_size(second.code) == size) {
                return table.load_store[size];
            }
            return is_load(second.code) ? table.load_load[size * 4 + load_size(second.code)] : nullptr;
        }
        if (is_store(first.code)) {
            return is_store(second.code)
                       ? table.store_store[load_size(first.code) * 4 + load_size(second.code)]
                       : nullptr;
        }
        const int first_alu = pair_alu_index(first.code);
        if (first_alu < 0) {
            return nullptr;
        }
        if (second_alu >= 0) {
            return table.alu_alu[first_alu * pair_alu_count() + second_alu];
        }
        if (second_jump >= 0) {
            return table.alu_jump[(first_alu * pair_jump_count() + second_jump) * 2 + (backward ? 1 : 0)];
        }
        if (is_store(second.code)) {
            return table.alu_store[first_alu * 4 + load_size(second.code)];
        }
        return is_load(second.code) ? table.alu_load[first_alu * 4 + load_size(second.code)] : nullptr;
    }

    static Draft join(const Draft& first, const Draft& second, const void* label) {
        Draft pair = first;
        pair.op.label = label;
        pair.op.dst2 = second.op.dst;
        pair.op.src2 = second.op.src;
        pair.op.b = second.op.a;
        pair.target = second.target;
        // Only memory accesses fault or warn; of two, the first is named until the traced run locates the
        // fault.
        pair.access = is_load(first.code) || is_store(first.code) ? first.slot : second.slot;
        return pair;
    }

    // -- Output --

    Expected<Code> finish() {
        Code code;
        code.tracks_bounds = analysis_.tracks_bounds;
        code.op_of_slot.assign(program_.insns.size(), Code::kNoOp);
        for (uint32_t i = 0; i < drafts_.size(); ++i) {
            if (code.op_of_slot[drafts_[i].slot] == Code::kNoOp) {
                code.op_of_slot[drafts_[i].slot] = i;
            }
        }
        const Labels& table = options_.traced ? traced_labels() : fast_labels();
        for (uint32_t i = 0; i < drafts_.size(); ++i) {
            Draft& draft = drafts_[i];
            if (draft.op.label == nullptr) {
                draft.op.label = table.single[static_cast<size_t>(draft.code)];
            }
            if (draft.target != kNoTarget) {
                const uint32_t to = code.op_of_slot[draft.target];
                if (to == Code::kNoOp) {
                    return refuse(draft.slot, EINVAL, "jump into the middle of an instruction");
                }
                const int64_t distance = (int64_t{to} - int64_t{i}) * int64_t{sizeof(Op)};
                draft.op.c = static_cast<int32_t>(distance);
            }
            code.ops.push_back(draft.op);
            code.slots.push_back(draft.access == kNoTarget ? draft.slot : draft.access);
        }
        return code;
    }

    const LinkedProgram& program_;
    const Analysis& analysis_;
    const DecodeOptions& options_;
    std::vector<Draft> drafts_;
    size_t next_ref_ = 0;
};

} // namespace

Error load_refusal(const LinkedProgram& program, uint32_t slot, int code, const std::string& why,
                   std::string hint) {
    const SourceLine source = source_line(program, slot);
    std::string text = program.name + ": ";
    if (!source.file.empty()) {
        text += source.file + ":" + std::to_string(source.line) + ": ";
    }
    text += "instruction " + std::to_string(slot) + ": " + why;
    return Error{code, "load", std::move(text), std::move(hint), source.text};
}

Expected<Code> decode(const LinkedProgram& program, const Analysis& analysis, const DecodeOptions& options) {
    return Decoder(program, analysis, options).run();
}

} // namespace mimicsh::vm
