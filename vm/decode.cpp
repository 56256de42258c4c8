// SPDX-License-Identifier: MIT
// Decoding: one operation per instruction, then pairs are fused and jumps turned into byte distances.
#include "vm/decode.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/similar.h"
#include "object/align.h"
#include "object/core_relo.h"
#include "vm/context/captured.h"
#include "vm/context/context.h"
#include "vm/fuse.h"
#include "vm/guards.h"
#include "vm/helpers/helpers.h"
#include "vm/interp.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/machine.h"
#include "vm/maps/arena.h"
#include "vm/maps/unemulated.h"
#include "vm/outside.h"
#include "vm/program.h"
#include "vm/support.h"
#include "vm/versions.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kLookup = 1;
constexpr uint32_t kTailCall = 12;

/// The `_k` operation for an ALU instruction; `_x` is the next one.
constexpr OpCode alu_code_of(uint8_t code, bool is_signed) {
    const bool wide = (code & 7) == op::kAlu64;
    switch (code & 0xf0) {
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
constexpr OpCode jump_code_of(uint8_t code) {
    const bool wide = (code & 7) == op::kJmp;
    switch (code & 0xf0) {
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

/// Immediates that an operation takes: those from `first` on, as many as `more` and one.
struct Range {
    uint32_t first = 0;
    uint32_t more = UINT32_MAX;
    [[nodiscard]] constexpr bool has(int32_t imm) const { return static_cast<uint32_t>(imm) - first <= more; }
};

/// A shift by less than the width, a division by anything but 0.
constexpr Range immediates_of(uint8_t code) {
    const uint8_t operation = code & 0xf0;
    if ((code & op::kX) != 0) {
        return {};
    }
    if (operation == op::kLsh || operation == op::kRsh || operation == op::kArsh) {
        return {0, (code & 7) == op::kAlu64 ? 63u : 31u};
    }
    return operation == op::kDiv || operation == op::kMod ? Range{1, UINT32_MAX - 1} : Range{};
}

/// Looked up, since a branch for each instruction of a program is seldom predicted.
struct CodeTable {
    constexpr CodeTable() {
        for (size_t i = 0; i < 256; ++i) {
            const auto code = static_cast<uint8_t>(i);
            const int by_register = (code & op::kX) != 0 ? 1 : 0;
            alu[0][i] = plus(alu_code_of(code, false), by_register);
            alu[1][i] = plus(alu_code_of(code, true), by_register);
            jump[0][i] = plus(jump_code_of(code), 2 * by_register);
            jump[1][i] = plus(jump[0][i], 1);
            immediates[i] = immediates_of(code);
        }
    }
    std::array<std::array<OpCode, 256>, 2> alu{};  ///< unsigned, signed
    std::array<std::array<OpCode, 256>, 2> jump{}; ///< forward, backward
    std::array<Range, 256> immediates{};           ///< of arithmetic, for strict mode
};
constexpr CodeTable kCodes;

int log2_size(uint8_t code) {
    constexpr std::array<int8_t, 4> kSizes{2, 1, 0, 3}; // BPF_W, BPF_H, BPF_B, BPF_DW
    static_assert(op::kW == 0 && op::kH == 8 && op::kB == 16 && op::kDw == 24);
    return kSizes[code >> 3 & 3];
}

/// Operations of one kind of access for 8 bits; those for 16, 32 and 64 bits are `apart` from each other.
struct AccessCodes {
    std::array<OpCode, 3> codes{OpCode::refused, OpCode::refused, OpCode::refused}; ///< by Where
    int apart = 3; ///< load, store and store of an immediate stand one behind the other
    bool stores = false;
    bool knows_stack = true;
};
enum class Where : uint8_t { Anywhere, Stack, Packet };
static_assert(plus(OpCode::ldx8, 3) == OpCode::ldx16 && plus(OpCode::load_stack8, 3) == OpCode::load_stack16);

constexpr AccessCodes access_codes_of(InsnKind kind) {
    switch (kind) {
    case InsnKind::Load:
    case InsnKind::LoadAcquire:
        return {{OpCode::ldx8, OpCode::load_stack8, OpCode::ldp8}};
    case InsnKind::LoadSx:
        return {{OpCode::ldsx8, OpCode::ldsx8, OpCode::ldsx8}, 1, false, false};
    case InsnKind::StoreImm:
        return {{OpCode::st8, OpCode::store_stack_imm8, OpCode::sti8}, 3, true};
    case InsnKind::StoreReg:
        return {{OpCode::stx8, OpCode::store_stack8, OpCode::stp8}, 3, true};
    case InsnKind::StoreRelease:
        return {{OpCode::stx8, OpCode::store_stack8, OpCode::stp8}};
    case InsnKind::Atomic:
        return {{OpCode::atomic, OpCode::atomic, OpCode::atomic}, 0, false, false};
    default:
        return {};
    }
}

/// By kind.
constexpr auto kAccesses = [] {
    std::array<AccessCodes, 32> all{};
    for (size_t kind = 0; kind < all.size(); ++kind) {
        all[kind] = access_codes_of(static_cast<InsnKind>(kind));
    }
    return all;
}();

/// may_access_skb (kernel/bpf/verifier.c).
bool may_load_packet(abi::ProgType type) {
    return type == abi::ProgType::SocketFilter || type == abi::ProgType::SchedCls ||
           type == abi::ProgType::SchedAct;
}

/// Helpers that read or change what CPUs share beyond single values: entries of maps and records.
bool looks_into_maps(uint32_t id) {
    constexpr std::array kOnes{1u,   2u,   3u,   25u,  51u,  87u,  88u,  89u,  130u, 131u, 132u,
                               133u, 134u, 156u, 157u, 164u, 195u, 198u, 199u, 200u, 210u, 211u};
    return std::ranges::find(kOnes, id) != kOnes.end();
}

/// One of them, while no other CPU is in one.
uint64_t guarded_call(Machine& machine, const uint64_t* args) {
    const HelperFn helper = helper_function(static_cast<uint32_t>(machine.at->c));
    const std::lock_guard lock(machine.group->maps);
    machine.group->inside = &machine;
    const uint64_t result = helper(machine, args);
    machine.group->inside = nullptr;
    return result;
}

/// A helper that the chosen kernel has without some flags; its number is in the operation.
uint64_t call_without_later_flags(Machine& machine, const uint64_t* args) {
    const auto id = static_cast<uint32_t>(machine.at->c);
    const LaterFlags& missing = *missing_flags(id, machine.options.kernel);
    return (args[missing.argument] & missing.bits) != 0 ? errno_result(-EINVAL)
                                                        : helper_function(id)(machine, args);
}

/// Stands where the kernel would refuse an instruction if it did not know that nothing comes there.
uint64_t dead_instruction(Machine& machine, const uint64_t* /*args*/) {
    return machine.fault(FaultKind::BadInstruction,
                         "an instruction that read-only data or CO-RE leaves out was reached");
}

/// An access that CO-RE could not resolve: only one that is reached is wrong.
uint64_t unresolved_access(Machine& machine, const uint64_t*) {
    const UnresolvedAccess access = describe_unresolved(
        machine.code->program->linked(), machine.code->slot_of(machine.at), machine.kernel_types());
    return machine.fault(FaultKind::BadInstruction, access.text, access.hint);
}

/// A weak kernel function that is not there: only a call that is reached is wrong.
uint64_t missing_kfunc(Machine& machine, const uint64_t*) {
    const LinkedProgram& program = machine.code->program->linked();
    const uint32_t slot = machine.code->slot_of(machine.at);
    const auto ref = std::ranges::find(program.refs, slot, &LinkedRef::insn);
    return machine.fault(FaultKind::BadCall,
                         "kernel function " + program.object->externs[ref->target].name + " is not emulated",
                         "ask with bpf_ksym_exists before the call");
}

std::vector<std::string_view> kfunc_names() {
    std::vector<std::string_view> names;
    for (const KfuncRow& row : kfunc_rows()) {
        names.push_back(row.name);
    }
    return names;
}

class Decoder {
  public:
    Decoder(const LinkedProgram& program, const Analysis& analysis, const DecodeOptions& options)
        : program_(program), analysis_(analysis), options_(options),
          context_(context_kind(program.spec.type)),
          older_(options.kernel != kKernelVersions[std::size(kKernelVersions) - 1]) {}

    Expected<Code> run() {
        const auto& insns = program_.insns;
        drafts_.reserve(insns.size() + insns.size() / 4);
        for (uint32_t slot = 0; slot < insns.size(); slot += slot_count(insns[slot])) {
            add_guard(slot);
            add_proof(slot);
            Draft& draft = begin_draft(slot);
            if (!older_ && fill_plain(draft, insns[slot])) [[likely]] {
                continue;
            }
            auto ok = fill(draft, insns[slot]);
            if (!ok && analysis_.slots[slot].dead && analysis_.forms[slot] != nullptr) {
                draft.op = {};
                put_call(draft, dead_instruction);
            } else if (!ok) {
                return ok.error();
            }
        }
        if (!options_.traced) {
            fuse(drafts_);
        }
        return finish();
    }

  private:
    [[nodiscard]] Error refuse(uint32_t slot, int code, const std::string& why, std::string hint = {}) const {
        return load_refusal(program_, slot, code, why, std::move(hint));
    }

    [[nodiscard]] bool is_later(KernelVersion since) const {
        return options_.mode == Mode::Strict && options_.kernel < since;
    }

    [[nodiscard]] Error refuse_later(uint32_t slot, const std::string& what, KernelVersion since) const {
        return refuse(slot, EINVAL, what + " " + since_text(since, options_.kernel));
    }

    [[nodiscard]] bool lacks_license() const {
        return options_.mode == Mode::Strict && !is_gpl_compatible(program_.object->license);
    }

    [[nodiscard]] Error refuse_unlicensed(uint32_t slot, const std::string& what) const {
        return refuse(slot, EINVAL, what + " wants a GPL-compatible licence of the program",
                      R"(declare it: char LICENSE[] SEC("license") = "GPL")");
    }

    /// The implementation of a kernel function that the chosen kernel has.
    [[nodiscard]] HelperFn kfunc(const std::string& name) const {
        return is_later(since_kfunc(name)) ? nullptr : kfunc_function(name);
    }

    /// The next operation, until the one behind it is begun.
    Draft& begin_draft(uint32_t slot) {
        Draft& draft = drafts_.emplace_back();
        draft.slot = slot;
        draft.leader = analysis_.slots[slot].entered && slot != last_;
        last_ = slot;
        return draft;
    }

    static void put_call(Draft& draft, HelperFn function) {
        draft.code = OpCode::call_helper;
        std::memcpy(&draft.op.a, &function, sizeof function);
    }

    /// What has to be so before the instruction at the slot, an operation of its own.
    void add_guard(uint32_t slot) {
        const SlotFacts& facts = analysis_.slots[slot];
        if (options_.mode != Mode::Strict || facts.guard == SlotFacts::Guard::None) {
            return;
        }
        Draft& draft = begin_draft(slot);
        if (facts.guard == SlotFacts::Guard::NotNull) {
            put_call(draft, guard_not_null);
            draft.op.dst = facts.pointer;
            draft.op.c = facts.origin;
        } else {
            put_call(draft, facts.guard == SlotFacts::Guard::NoLock ? guard_no_lock : guard_nothing_open);
        }
    }

    /// Bounds of the packet that the comparison at the slot proves, in front of it.
    void add_proof(uint32_t slot) {
        const SlotFacts& facts = analysis_.slots[slot];
        if (facts.proves && analysis_.tracks_bounds) {
            Draft& prove = begin_draft(slot);
            prove.code = OpCode::prove;
            prove.op.dst = facts.pointer;
            prove.op.src = facts.end;
        }
    }

    // -- One instruction --

    /// Most instructions cannot be refused once they are known, so nothing is made to say so. False: `fill`
    /// looks closer.
    bool fill_plain(Draft& draft, const Insn& insn) {
        const InsnForm* form = analysis_.forms[draft.slot];
        if (form == nullptr) {
            return false;
        }
        draft.op.dst = insn.dst;
        draft.op.src = insn.src;
        draft.op.a = insn.imm;
        switch (form->kind) {
        case InsnKind::Alu: {
            const bool narrows = analysis_.slots[draft.slot].target == SlotFacts::Target::Map; // in an arena
            const auto code = static_cast<uint8_t>(narrows ? (insn.code & ~7) | op::kAlu : insn.code);
            draft.code = kCodes.alu[insn.off == 1 ? 1 : 0][code];
            return options_.mode != Mode::Strict ||
                   (insn.dst != 10 && kCodes.immediates[insn.code].has(insn.imm));
        }
        case InsnKind::Load:
        case InsnKind::LoadSx:
        case InsnKind::LoadAcquire:
        case InsnKind::StoreReg:
        case InsnKind::StoreImm:
        case InsnKind::StoreRelease:
        case InsnKind::Atomic:
            fill_memory(draft, insn, *form);
            return true;
        case InsnKind::Jump:
            fill_jump(draft, insn);
            return true;
        case InsnKind::Exit:
            draft.code = OpCode::exit;
            return true;
        default:
            return false;
        }
    }

    Status fill(Draft& draft, const Insn& insn) {
        const uint32_t slot = draft.slot;
        const InsnForm* form = analysis_.forms[slot];
        if (form == nullptr) {
            return refuse(slot, EINVAL,
                          "no kernel knows opcode 0x" + to_hex(ByteView(&insn.code, 1)) +
                              " with these fields");
        }
        if (older_) [[unlikely]] {
            if (const auto since = since_insn(*form); since && is_later(*since)) {
                return refuse_later(slot, "instruction " + std::string(form->mnemonic) + " is", *since);
            }
        }
        if (fill_plain(draft, insn)) {
            return {};
        }
        switch (form->kind) {
        case InsnKind::Alu:
            return refuse_alu(draft.slot, insn);
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
            return fill_wide(draft, insn);
        case InsnKind::LoadAbs:
        case InsnKind::LoadInd:
            if (options_.mode == Mode::Strict && !may_load_packet(program_.spec.type)) {
                return refuse(slot, EINVAL,
                              "BPF_LD_ABS and BPF_LD_IND are for filters and classifiers, not for " +
                                  std::string(abi::name(program_.spec.type)));
            }
            draft.code = OpCode::load_packet;
            draft.op.dst2 = static_cast<uint8_t>(access_size(insn.code));
            draft.op.src2 = form->kind == InsnKind::LoadInd ? 1 : 0;
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
            return fill_helper(draft, insn);
        case InsnKind::CallLocal:
            draft.target = static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm);
            draft.code = OpCode::call_local;
            break;
        case InsnKind::CallKfunc:
            return fill_kfunc(draft);
        case InsnKind::AddrCast:
            fill_cast(draft, insn);
            break;
        case InsnKind::Load:
        case InsnKind::LoadSx:
        case InsnKind::LoadAcquire:
        case InsnKind::StoreReg:
        case InsnKind::StoreImm:
        case InsnKind::StoreRelease:
        case InsnKind::Atomic:
        case InsnKind::Jump:
        case InsnKind::Exit:
            break; // fill_plain takes them all
        case InsnKind::CallReg:
            if (options_.mode == Mode::Permissive) {
                put_call(draft, helper_in_register);
                break;
            }
            [[fallthrough]];
        case InsnKind::GotoReg:
            return refuse(slot, ENOTSUP, std::string(form->mnemonic) + " is in no supported kernel");
        }
        return {};
    }

    /// Why `fill_plain` does not take an arithmetic instruction.
    [[nodiscard]] Error refuse_alu(uint32_t slot, const Insn& insn) const {
        if (kCodes.immediates[insn.code].has(insn.imm)) {
            return refuse(slot, EACCES, "r10 is read only");
        }
        const uint8_t operation = insn.code & 0xf0;
        if (operation == op::kDiv || operation == op::kMod) {
            return refuse(slot, EINVAL, "division by the constant 0");
        }
        return refuse(slot, EINVAL,
                      "shift by " + std::to_string(insn.imm) + ", the register has " +
                          ((insn.code & 7) == op::kAlu64 ? "64" : "32") + " bits");
    }

    /// Towards the kernel an address loses its upper half; towards user space it gets that of the arena.
    void fill_cast(Draft& draft, const Insn& insn) {
        const SlotFacts& facts = analysis_.slots[draft.slot];
        const VmMap* map = facts.target == SlotFacts::Target::Map
                               ? options_.maps[static_cast<size_t>(facts.value)].get()
                               : nullptr;
        const auto* arena = static_cast<const ArenaMap*>(map);
        if (insn.imm == 1 || arena == nullptr || (arena->info().flags & abi::kMapNoUserConv) != 0) {
            draft.code = OpCode::mov32_x;
            return;
        }
        draft.code = OpCode::atomic;
        draft.op.src2 = static_cast<uint8_t>(Outside::CastUser);
        draft.op.a = static_cast<int32_t>(arena->address() >> 32);
    }

    /// An access that goes to an arena, on some way at least.
    void fill_arena_access(Draft& draft, const Insn& insn, InsnKind kind) const {
        const Outside work = kind == InsnKind::Load          ? Outside::ArenaLoad
                             : kind == InsnKind::LoadSx      ? Outside::ArenaLoadSigned
                             : kind == InsnKind::LoadAcquire ? Outside::ArenaLoadAcquire
                             : kind == InsnKind::StoreImm    ? Outside::ArenaStoreImm
                             : kind == InsnKind::Atomic      ? Outside::ArenaAtomic
                                                             : Outside::ArenaStore;
        draft.code = OpCode::atomic;
        draft.op.src2 = static_cast<uint8_t>(work);
        draft.op.dst2 = static_cast<uint8_t>(access_size(insn.code));
        draft.op.c = analysis_.slots[draft.slot].value;
    }

    Status fill_wide(Draft& draft, const Insn& insn) {
        const uint32_t slot = draft.slot;
        draft.code = OpCode::lddw;
        const auto low = static_cast<uint32_t>(insn.imm);
        const auto high = static_cast<uint32_t>(program_.insns[slot + 1].imm);
        uint64_t value = low | uint64_t{high} << 32;
        const LinkedRef* ref = reference(slot);
        if (insn.src == op::kFunc) {
            value = make_addr(kCallbackHandle, static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm));
        } else if (ref != nullptr) {
            if (ref->kind == RelocKind::Extern) {
                const ExternDef& wanted = program_.object->externs[ref->target];
                if (wanted.kind == ExternKind::Ksym) {
                    return fill_variable(draft, options_.machine->variables.address(
                                                    *options_.machine, *program_.object, wanted));
                }
                const bool is_there = wanted.kind == ExternKind::Kfunc && kfunc(wanted.name) != nullptr;
                if (is_there || wanted.is_weak) {
                    // Programs ask this way what is there.
                    const uint64_t address = is_there ? make_addr(kCallbackHandle, 0) : 0;
                    draft.op.a = static_cast<int32_t>(address);
                    draft.op.b = static_cast<int32_t>(address >> 32);
                    return {};
                }
                return refuse(slot, ENOTSUP, "extern " + wanted.name + " is not emulated");
            }
            const VmMap& map = *options_.maps[ref->target];
            if (!is_emulated(map.type())) {
                const Error error = not_emulated("load", map.info().name, map.type());
                return refuse(slot, error.code, error.text, error.hint);
            }
            value =
                ref->kind == RelocKind::Map ? make_addr(map.handle(), 0) : map.value_addr(0) + ref->offset;
        } else if (insn.src == op::kBtfId) {
            return high != 0
                       ? Status(refuse(slot, ENOTSUP, "variables of modules are not emulated"))
                       : fill_variable(draft, options_.machine->variables.address(*options_.machine, low));
        } else if (insn.src != 0) {
            return refuse(slot, EINVAL, "64-bit load refers to something that the object does not name");
        }
        draft.op.a = static_cast<int32_t>(value);
        draft.op.b = static_cast<int32_t>(value >> 32);
        return {};
    }

    /// The address of a variable of the kernel; one that the world has not is as what is not emulated.
    Status fill_variable(Draft& draft, const Expected<uint64_t>& address) const {
        if (!address) {
            const Error& error = address.error();
            return refuse(draft.slot, error.code == ENOENT ? ENOTSUP : error.code, error.text, error.hint);
        }
        draft.op.a = static_cast<int32_t>(*address);
        draft.op.b = static_cast<int32_t>(*address >> 32);
        return {};
    }

    void fill_memory(Draft& draft, const Insn& insn, const InsnForm& form) {
        const SlotFacts& facts = analysis_.slots[draft.slot];
        const AccessCodes& access = kAccesses[static_cast<size_t>(form.kind)];
        const bool on_stack = facts.target == SlotFacts::Target::Stack;
        // A store to a packet that may only be read takes the way that finds it out.
        const bool in_packet = facts.target == SlotFacts::Target::Packet && !options_.traced &&
                               !(access.stores && !context_->packet_writable);
        const Where where = on_stack ? Where::Stack : in_packet ? Where::Packet : Where::Anywhere;
        draft.op.a = on_stack && access.knows_stack ? facts.value : insn.off;
        draft.op.b = insn.imm;
        if (facts.target == SlotFacts::Target::Map) {
            fill_arena_access(draft, insn, form.kind);
            return;
        }
        draft.code = plus(access.codes[static_cast<size_t>(where)], access.apart * log2_size(insn.code));
        if (form.kind == InsnKind::Atomic) {
            draft.op.dst2 = static_cast<uint8_t>(access_size(insn.code));
        } else if (facts.target == SlotFacts::Target::Context &&
                   (form.kind == InsnKind::Load || form.kind == InsnKind::LoadAcquire)) {
            fill_context_load(draft, insn, facts.value);
        }
    }

    /// A load of a whole or partial field that the analysis has placed.
    void fill_context_load(Draft& draft, const Insn& insn, int32_t offset) const {
        const uint32_t size = access_size(insn.code);
        const ContextField* field = context_->find(offset, size, false);
        if (field->role <= FieldRole::PacketMeta) {
            draft.code = OpCode::ctx_load;
            draft.op.src = static_cast<uint8_t>(field->role);
        } else {
            draft.code = plus(OpCode::ctx_number8, log2_size(insn.code));
            draft.op.a = field->read_from(offset, size);
        }
    }

    static void fill_jump(Draft& draft, const Insn& insn) {
        draft.target = static_cast<uint32_t>(int64_t{draft.slot} + 1 + insn.off);
        draft.code = kCodes.jump[draft.target <= draft.slot ? 1 : 0][insn.code];
    }

    /// What the instruction at a slot refers to, or null; slots are asked for in order.
    const LinkedRef* reference(uint32_t slot) {
        while (next_ref_ < program_.refs.size() && program_.refs[next_ref_].insn < slot) {
            ++next_ref_;
        }
        const bool found = next_ref_ < program_.refs.size() && program_.refs[next_ref_].insn == slot;
        return found ? &program_.refs[next_ref_] : nullptr;
    }

    Status fill_kfunc(Draft& draft) {
        const uint32_t slot = draft.slot;
        const LinkedRef* ref = reference(slot);
        if (ref == nullptr) {
            return refuse(slot, EINVAL, "call of a kernel function that the object does not name");
        }
        const std::string& name = program_.object->externs[ref->target].name;
        HelperFn function = kfunc(name);
        if (function != nullptr && lacks_license()) {
            return refuse_unlicensed(slot, "kernel function " + name);
        }
        if (function == nullptr && program_.object->externs[ref->target].is_weak) {
            function = missing_kfunc;
        }
        if (options_.shared && name.starts_with("bpf_arena_")) {
            return refuse(slot, ENOTSUP,
                          "kernel function " + name + " has pages that emulated CPUs do not share",
                          "replay without workers");
        }
        if (options_.shared && (name.starts_with("bpf_ct_") || name.find("_ct_") != std::string::npos)) {
            return refuse(slot, ENOTSUP,
                          "kernel function " + name + " has a table that emulated CPUs do not share",
                          "run the program on one CPU");
        }
        if (function == nullptr && kfunc_function(name) != nullptr) {
            return refuse_later(slot, "kernel function " + name + " is", since_kfunc(name));
        }
        if (function == nullptr) {
            const std::string reason(kfunc_reason(name));
            return refuse(slot, ENOTSUP,
                          "kernel function " + name + " is not emulated" +
                              (reason.empty() ? "" : ": " + reason),
                          did_you_mean(name, kfunc_names(), "load(\"kernel\") runs it for real"));
        }
        if (name == "bpf_dynptr_slice_rdwr" && options_.mode == Mode::Strict && context_ != nullptr &&
            !context_->packet_writable) { // may_access_direct_pkt_data, kernel/bpf/verifier.c
            return refuse(
                slot, EINVAL,
                "bpf_dynptr_slice_rdwr is for programs that may write to packets, and this type may not",
                "bpf_dynptr_slice reads");
        }
        put_call(draft, function);
        return {};
    }

    Status fill_helper(Draft& draft, const Insn& insn) {
        const uint32_t slot = draft.slot;
        if (is_unresolved(program_, slot)) {
            put_call(draft, unresolved_access);
            return {};
        }
        const auto id = static_cast<uint32_t>(insn.imm);
        const auto name = [&] {
            return abi::helper_name(id).empty() ? "helper " + std::to_string(insn.imm)
                                                : "bpf_" + std::string(abi::helper_name(id));
        };
        if (options_.helpers != nullptr && options_.helpers->contains(id)) {
            draft.op.c = static_cast<int32_t>(id);
            put_call(draft, is_input_call(id) ? helper_of_input : helper_from_outside);
            return {};
        }
        if (abi::helper_name(id).empty()) {
            return refuse(slot, EINVAL, name() + " is unknown");
        }
        if (options_.mode == Mode::Strict && !helper_allowed(program_.spec.type, id)) {
            return refuse(slot, EINVAL,
                          name() + " cannot be called from " + std::string(abi::name(program_.spec.type)) +
                              " programs");
        }
        if (helper_wants_gpl(id) && lacks_license()) {
            return refuse_unlicensed(slot, name());
        }
        if (const KernelVersion since = older_ ? since_helper(program_.spec.type, id) : KernelVersion::V6_1;
            is_later(since)) {
            return refuse_later(
                slot, name() + " for " + std::string(abi::name(program_.spec.type)) + " programs is", since);
        }
        const SlotFacts& facts = analysis_.slots[slot];
        VmMap* map = facts.target == SlotFacts::Target::Map
                         ? options_.maps[static_cast<size_t>(facts.value)].get()
                         : nullptr;
        if (options_.mode == Mode::Strict && map != nullptr && !helper_takes_map(id, map->type())) {
            return refuse(slot, EINVAL,
                          name() + " cannot be called on " + map->info().name + ", a map of type " +
                              std::string(abi::name(map->type())));
        }
        if (const KernelVersion since =
                older_ && map != nullptr ? since_helper_on_map(id, map->type()) : KernelVersion::V6_1;
            is_later(since)) {
            return refuse_later(
                slot, name() + " on a map of type " + std::string(abi::name(map->type())) + " is", since);
        }
        if (id == kLookup && !options_.shared && map != nullptr && !abi::holds_maps(map->type()) &&
            !is_sock_map(map->type())) {
            draft.code = OpCode::lookup;
            std::memcpy(&draft.op.a, &map, sizeof map);
        } else if (id == kTailCall) {
            draft.code = OpCode::tail_call;
        } else {
            HelperFn helper = helper_function(id);
            if ((options_.replays || (helper == nullptr && options_.mode == Mode::Permissive)) &&
                is_replayable(id)) {
                helper = replayed_call;
            }
            if (helper == nullptr) {
                const std::string reason(helper_reason(id));
                return refuse(slot, ENOTSUP,
                              name() + " is not emulated" + (reason.empty() ? "" : ": " + reason),
                              "vm.support().helpers lists what is; load(\"kernel\") runs it for real");
            }
            helper = is_input_call(id) ? helper_of_input : helper;
            draft.op.c = static_cast<int32_t>(id);
            if (options_.shared && looks_into_maps(id)) {
                helper = guarded_call;
            }
            if (older_ && helper == helper_function(id) && options_.mode == Mode::Strict &&
                missing_flags(id, options_.kernel) != nullptr) {
                helper = call_without_later_flags;
            }
            put_call(draft, helper);
        }
        return {};
    }

    // -- Output --

    Expected<Code> finish() {
        Code code;
        code.tracks_bounds = analysis_.tracks_bounds;
        code.op_of_slot.assign(program_.insns.size(), Code::kNoOp);
        for (size_t i = drafts_.size(); i-- > 0;) { // of several at a slot, the first
            code.op_of_slot[drafts_[i].slot] = static_cast<uint32_t>(i);
        }
        code.ops.reserve(drafts_.size());
        code.slots.reserve(drafts_.size());
        const Labels& table = options_.traced ? traced_labels() : fast_labels();
        for (uint32_t i = 0; i < drafts_.size(); ++i) {
            const Draft& draft = drafts_[i];
            Op& op = code.ops.emplace_back(draft.op);
            if (op.label == nullptr) {
                op.label = table.single[static_cast<size_t>(draft.code)];
            }
            if (draft.target != kNoTarget) {
                const uint32_t to = code.op_of_slot[draft.target];
                if (to == Code::kNoOp) {
                    return refuse(draft.slot, EINVAL, "jump into the middle of an instruction");
                }
                const int64_t distance = (int64_t{to} - int64_t{i}) * int64_t{sizeof(Op)};
                op.c = static_cast<int32_t>(distance);
            }
            code.slots.push_back(draft.access == kNoTarget ? draft.slot : draft.access);
        }
        return code;
    }

    const LinkedProgram& program_;
    const Analysis& analysis_;
    const DecodeOptions& options_;
    const ContextKind* context_;
    bool older_; ///< a kernel that lacks something the newest has
    std::vector<Draft> drafts_;
    uint32_t last_ = kNoTarget; ///< slot of the last draft
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
