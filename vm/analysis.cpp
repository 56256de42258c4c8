// SPDX-License-Identifier: MIT
// Forward data flow over kinds of values, across local calls, to a fixed point.
#include "vm/analysis.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "object/core_relo.h"
#include "object/value_fields.h"
#include "vm/analysis_flow.h"
#include "vm/context/context.h"

namespace mimicsh::vm {

namespace flow {

namespace {

/// Kinds that go on elsewhere than at the next instruction, call, or name a function.
constexpr bool may_lead(InsnKind kind) {
    constexpr auto kBits = [] {
        uint32_t bits = 0;
        for (const InsnKind leads : {InsnKind::LoadImm64, InsnKind::Jump, InsnKind::Goto, InsnKind::MayGoto,
                                     InsnKind::CallHelper, InsnKind::CallLocal, InsnKind::CallKfunc}) {
            bits |= 1u << static_cast<uint32_t>(leads);
        }
        return bits;
    }();
    return (kBits >> static_cast<uint32_t>(kind) & 1) != 0;
}

} // namespace

Flow::Flow(const LinkedProgram& program, const UserHelpers& own, const ReadOnlyData& read_only)
    : program_(program), own_(own), insns_(program.insns), constants_(read_only),
      core_moves_(core_moves(program)), context_(context_kind(program.spec.type)) {
    result_.slots.resize(insns_.size());
    refs_.resize(insns_.size());
    result_.forms.resize(insns_.size());
    for (const LinkedRef& ref : program.refs) {
        refs_[ref.insn] = &ref;
    }
    find_arena();
    read_forms();
    number_blocks();
    opens_ |= locks_;
    values_point_ = std::ranges::any_of(program.object->maps, [&](const MapDef& map) {
        return std::ranges::any_of(hidden_fields(*program.object, map), mimicsh::is_pointer);
    });
}

Analysis Flow::run() {
    State entry;
    entry.regs[10] = {Kind::Stack, abi::kStackSize};
    const bool has_context = context_ != nullptr && context_->set_registers == nullptr;
    entry.regs[1] = {has_context ? Kind::Context : Kind::Unknown, 0};
    if (context_ != nullptr && !has_context) {
        entry.regs[2] = {Kind::Scalar, 0};
    }
    enter(0, entry);
    if (program_.exception_callback != 0) {
        State thrown;
        thrown.regs[1] = {Kind::Scalar, 0};
        enter_function(program_.exception_callback, thrown);
        result_.async_callbacks.push_back(program_.exception_callback);
    }
    while (!work_.empty()) {
        std::ranges::pop_heap(work_, std::greater{}); // in order of slots few are walked twice
        Block& block = blocks_[work_.back()];
        work_.pop_back();
        block.queued = false;
        walk(block);
    }
    collect();
    return std::move(result_);
}

/// A program has one arena at most, which all its pointers to arenas belong to.
void Flow::find_arena() {
    for (const LinkedRef& ref : program_.refs) {
        const bool is_map = ref.kind == RelocKind::Map || ref.kind == RelocKind::MapValue;
        if (!is_map || program_.object->maps[ref.target].type != abi::MapType::Arena) {
            continue;
        }
        if (arena_ && *arena_ != ref.target) {
            result_.refusal = Refusal{ref.insn, "a second arena, " + program_.object->maps[ref.target].name +
                                                    ": a program uses one at most"};
        }
        arena_ = ref.target;
    }
}

// -- Blocks --

/// First slot of what an instruction can go on with, beside the next one: where it jumps, the function that
/// it calls or whose address it takes. Outside the program in programs that were not checked.
std::optional<int64_t> Flow::target(uint32_t slot) const {
    const Insn& insn = insns_[slot];
    const int64_t after = int64_t{slot} + 1;
    switch (result_.forms[slot]->kind) {
    case InsnKind::Goto:
        return after + (insn.code == (op::kJmp32 | op::kJa) ? insn.imm : insn.off);
    case InsnKind::Jump:
    case InsnKind::MayGoto:
        return after + insn.off;
    case InsnKind::CallLocal:
        return after + insn.imm;
    case InsnKind::LoadImm64:
        return insn.src == op::kFunc ? std::optional(after + insn.imm) : std::nullopt;
    default:
        return std::nullopt;
    }
}

/// Finds the form of each instruction, where blocks begin, and what calls take and give back.
void Flow::read_forms() {
    begins_.resize((insns_.size() + 63) / 64);
    const auto begins = [&](int64_t slot) {
        if (slot >= 0 && slot < std::ssize(insns_)) {
            begins_[static_cast<size_t>(slot) / 64] |= uint64_t{1} << (slot % 64);
        }
    };
    for (const LinkedFunction& function : program_.functions) {
        begins(function.insn);
    }
    for (uint32_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
        const InsnForm* form = classify(insns_[slot]);
        result_.forms[slot] = form;
        if (form == nullptr) {
            all_known_ = false;
            continue;
        }
        ++unreached_;
        if (!may_lead(form->kind)) {
            continue;
        }
        if (form->kind == InsnKind::CallHelper || form->kind == InsnKind::CallKfunc) {
            note_locking(slot, *form);
        } else if (const auto to = target(slot)) {
            begins(*to);
            has_callbacks_ |= form->kind == InsnKind::LoadImm64;
        }
    }
}

void Flow::number_blocks() {
    size_t count = 0;
    for (const uint64_t word : begins_) {
        count += static_cast<size_t>(std::popcount(word));
    }
    blocks_.resize(count);
    work_.reserve(count);
    block_at_.resize(insns_.size(), kNoBlock);
    uint32_t number = 0;
    for (size_t i = 0; i < begins_.size(); ++i) {
        for (uint64_t word = begins_[i]; word != 0; word &= word - 1) {
            const auto slot = static_cast<uint32_t>(i * 64) + static_cast<uint32_t>(std::countr_zero(word));
            blocks_[number].slot = slot;
            block_at_[slot] = number++;
            result_.slots[slot].entered = true;
        }
    }
}

/// What all blocks say together.
void Flow::collect() {
    for (Block& block : blocks_) {
        result_.tracks_bounds &= !block.loses_bounds;
        result_.async_callbacks.insert(result_.async_callbacks.end(), block.async_callbacks.begin(),
                                       block.async_callbacks.end());
        if (block.refusal && !result_.refusal) {
            result_.refusal = std::move(block.refusal);
        }
    }
    if (!sleeps_at_.empty()) {
        check_sleeping();
    }
    if (!result_.refusal) {
        account_for_unreached();
    }
}

// -- Joining --

Value Flow::join(Value a, Value b) {
    if (a == b) {
        return a;
    }
    if (a.kind == b.kind && a.kind != Kind::MapObject) {
        return {a.kind, a.kind == Kind::Stack ? kNoOffset : 0};
    }
    if (may_be_end(a.kind) || may_be_end(b.kind)) {
        return {Kind::MaybeEnd, 0};
    }
    return {Kind::Unknown, 0};
}

/// What a pointer is once it was compared with NULL.
Value Flow::checked(Value value) const {
    if (value.kind != Kind::MaybeNull) {
        return value;
    }
    if (value.value == kVaries) {
        return {Kind::Unknown, 0};
    }
    const Insn& from = insns_[static_cast<uint32_t>(value.value) - 1];
    const bool is_helper = from.code == (op::kJmp | op::kCall) && from.src == 0;
    return {is_helper ? returned(static_cast<uint32_t>(from.imm)) : Kind::Unknown, 0};
}

/// A pointer that may be NULL and its copies, from here on.
void Flow::take_for_checked(Value pointer, State& state) const {
    state.for_each([&](Value& value) {
        if (value.kind == Kind::MaybeNull &&
            (value.value == pointer.value || value.value == kVaries || pointer.value == kVaries)) {
            value = checked(value);
        }
    });
}

/// Any comparison of a pointer counts as one with NULL, on both ways.
void Flow::note_comparison(const Insn& insn, State& state) {
    const Value dst = state.regs[insn.dst];
    const Value src = state.regs[insn.src];
    if (dst.kind == Kind::MaybeNull) {
        take_for_checked(dst, state);
    }
    if (src.kind == Kind::MaybeNull && (insn.code & op::kX) != 0) {
        take_for_checked(src, state);
    }
}

void Flow::enter_function(uint32_t slot, State state) {
    state.regs[10] = {Kind::Stack, abi::kStackSize};
    for (size_t reg = 6; reg <= 9; ++reg) {
        state.regs[reg] = {};
    }
    state.forget_spills();
    enter(slot, state);
}

void Flow::enter(uint32_t slot, const State& state) {
    if (slot >= insns_.size()) {
        return;
    }
    Block& block = blocks_[block_at_[slot]];
    if (!block.reached) {
        block.reached = true;
        block.entry = state;
    } else if (!block.entry.merge(state, join)) {
        return;
    }
    if (!block.queued) {
        block.queued = true;
        work_.push_back(block_at_[slot]);
        std::ranges::push_heap(work_, std::greater{});
    }
}

void Flow::refuse_unread(uint32_t slot, uint8_t reg) {
    refuse(slot, "r" + std::to_string(reg) + " is read before anything was put into it");
}

void Flow::refuse(uint32_t slot, std::string text) {
    if (!current_->refusal) {
        current_->refusal = Refusal{slot, std::move(text)};
    }
}

/// The kernel's check_cfg wants every instruction reached by some edge; what only the values leave out is
/// dead.
void Flow::account_for_unreached() {
    if (unreached_ == 0 && all_known_) {
        return;
    }
    std::optional<std::vector<bool>> by_edges;
    for (uint32_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
        if (result_.forms[slot] == nullptr) {
            return; // the decoder says so, and what follows such an instruction was not followed
        }
        if (result_.slots[slot].reached) {
            continue;
        }
        if (!by_edges) {
            by_edges = reached_by_edges();
        }
        if (!(*by_edges)[slot]) {
            result_.refusal = Refusal{slot, "nothing reaches this instruction"};
            return;
        }
        result_.slots[slot].dead = true;
    }
}

std::vector<bool> Flow::reached_by_edges() {
    std::vector<bool> seen(insns_.size());
    std::vector<int64_t> open{0};
    while (!open.empty()) {
        const auto slot = static_cast<uint32_t>(open.back());
        open.pop_back();
        if (slot >= insns_.size() || seen[slot]) {
            continue;
        }
        seen[slot] = true;
        const InsnForm* form = result_.forms[slot];
        if (form == nullptr || form->kind == InsnKind::Exit) {
            continue;
        }
        if (form->kind != InsnKind::Goto) {
            open.push_back(int64_t{slot} + slot_count(insns_[slot]));
        }
        if (const auto to = target(slot)) {
            open.push_back(*to);
        }
    }
    return seen;
}

// -- Walking a straight line --

void Flow::refuse_fields(uint32_t slot, const Insn& insn, bool writes_frame, bool src_bad) {
    if (writes_frame) {
        refuse(slot, "r10 is read only");
    } else {
        refuse_unread(slot, src_bad ? insn.src : insn.dst);
    }
}

/// One branch for each instruction of a program.
inline void Flow::check_reads(uint32_t slot, const Insn& insn, const InsnForm& form, const State& state) {
    const Uses uses = uses_[&form - forms_];
    const bool src_bad = uses.reads_src & (state.regs[insn.src].kind == Kind::Uninit);
    const bool dst_bad = uses.reads_dst & (state.regs[insn.dst].kind == Kind::Uninit);
    const bool writes_frame = (uses.writes_dst & (insn.dst == 10)) | (uses.writes_src & (insn.src == 10));
    if (src_bad | dst_bad | writes_frame) [[unlikely]] {
        refuse_fields(slot, insn, writes_frame, src_bad);
    }
}

void Flow::walk(Block& block) {
    current_ = &block;
    block.loses_bounds = false;
    block.refusal.reset();
    block.async_callbacks.clear();
    State state = block.entry;
    uint32_t slot = block.slot;
    do {
        const Insn& insn = insns_[slot];
        const InsnForm* form = result_.forms[slot];
        unreached_ -= !result_.slots[slot].reached && form != nullptr ? 1 : 0;
        result_.slots[slot].reached = true;
        if (form == nullptr) {
            return;
        }
        check_reads(slot, insn, *form, state);
        switch (form->kind) {
        case InsnKind::Exit:
            if (state.regs[0].kind == Kind::Uninit && program_.function_at(slot) == 0) {
                refuse_unread(slot, 0); // a static subprogram may return nothing
            }
            if (may_be_end(state.regs[0].kind)) {
                block.loses_bounds = true;
            }
            return;
        case InsnKind::Goto:
            enter(static_cast<uint32_t>(*target(slot)), state);
            return;
        case InsnKind::Jump:
        case InsnKind::MayGoto: {
            note_proof(slot, insn, *form, state);
            note_comparison(insn, state);
            const auto jumps = form->kind == InsnKind::Jump ? constants_.decided(insn, state) : std::nullopt;
            if (jumps.value_or(true)) {
                enter(static_cast<uint32_t>(*target(slot)), state);
            }
            if (jumps.value_or(false)) {
                return;
            }
            break;
        }
        case InsnKind::CallHelper:
            if (is_unresolved(program_, slot)) {
                return; // the run ends here, if it comes here
            }
            [[fallthrough]];
        default:
            step(slot, insn, *form, state);
            break;
        }
        slot += slot_count(insn);
    } while (slot < insns_.size() && block_at_[slot] == kNoBlock);
    enter(slot, state);
}

Flow::Uses Flow::uses_of(const InsnForm& form) {
    const bool by_register = (form.code & op::kX) != 0;
    const bool moves = (form.code & 0xf0) == op::kMov;
    switch (form.kind) {
    case InsnKind::Alu:
        return {by_register, !moves, true, false};
    case InsnKind::Jump:
        return {by_register, true, false, false};
    case InsnKind::Load:
    case InsnKind::LoadSx:
    case InsnKind::MovSx:
    case InsnKind::LoadAcquire:
    case InsnKind::AddrCast:
        return {true, false, true, false};
    case InsnKind::LoadInd:
        return {true, false, false, false};
    case InsnKind::LoadImm64:
        return {false, false, true, false};
    case InsnKind::StoreReg:
    case InsnKind::StoreRelease:
        return {true, true, false, false};
    case InsnKind::Atomic:
        return {true, true, false, (form.imm & op::kFetch) != 0 && form.imm != op::kCmpxchg};
    case InsnKind::StoreImm:
        return {false, true, false, false};
    case InsnKind::Neg:
    case InsnKind::Endian:
    case InsnKind::Bswap:
        return {false, true, true, false};
    default:
        return {};
    }
}

const Flow::Uses* Flow::all_uses() {
    static const std::vector<Uses> kAll = [] {
        std::vector<Uses> all;
        for (const InsnForm& form : insn_forms()) {
            all.push_back(uses_of(form));
        }
        return all;
    }();
    return kAll.data();
}

void Flow::step(uint32_t slot, const Insn& insn, const InsnForm& form, State& state) {
    Value& dst = state.regs[insn.dst];
    switch (form.kind) {
    case InsnKind::Alu:
        alu(slot, insn, state);
        break;
    case InsnKind::Neg:
    case InsnKind::Endian:
    case InsnKind::Bswap:
    case InsnKind::MovSx: // who may see addresses may turn a pointer into a number by these
        set(dst, {Kind::Scalar, 0});
        break;
    case InsnKind::AddrCast:
        if (!arena_) {
            refuse(slot, "addr_space_cast in a program that uses no arena");
        }
        note_target(slot, arena_ ? Value{Kind::Arena, 0} : Value{Kind::Scalar, 0});
        set(dst, {form.imm == 1 && arena_ ? Kind::Arena : Kind::Scalar, 0});
        break;
    case InsnKind::LoadImm64:
        load_immediate(slot, insn, dst);
        break;
    case InsnKind::Load:
    case InsnKind::LoadSx:
    case InsnKind::LoadAcquire:
        load(slot, insn, form, state);
        break;
    case InsnKind::StoreReg:
    case InsnKind::StoreImm:
    case InsnKind::StoreRelease:
        store(slot, insn, form, state);
        break;
    case InsnKind::Atomic:
        atomic(slot, insn, state);
        break;
    case InsnKind::LoadAbs:
    case InsnKind::LoadInd:
        if (state.regs[6].kind != Kind::Context && state.regs[6].kind != Kind::Unknown) {
            refuse(slot, "packet loads want the context in r6");
        }
        if (const uint32_t at = program_.function_at(slot); at != 0 && program_.functions[at].btf_id == 0) {
            refuse(slot, "packet loads in a subprogram without BTF");
        }
        want_nothing_open(slot, state, "BPF_LD_ABS or BPF_LD_IND");
        call_clobbers(state);
        set(state.regs[0], {Kind::Scalar, 0});
        break;
    case InsnKind::CallHelper:
        call_helper(slot, insn, state);
        break;
    case InsnKind::CallLocal:
        call_local(slot, state);
        break;
    case InsnKind::CallKfunc:
        call_kfunc(slot, state);
        break;
    default:
        call_clobbers(state);
        set(state.regs[0], {Kind::Unknown, 0});
        break;
    }
}

// -- Proofs --

void Flow::note_proof(uint32_t slot, const Insn& insn, const InsnForm& form, const State& state) {
    SlotFacts& facts = result_.slots[slot];
    facts.proves = false;
    const uint8_t operation = insn.code & 0xf0;
    const bool ordered =
        operation == op::kJgt || operation == op::kJge || operation == op::kJlt || operation == op::kJle;
    if (form.kind != InsnKind::Jump || (insn.code & 7) != op::kJmp || (insn.code & op::kX) == 0 || !ordered) {
        return;
    }
    const auto proves = [&](Kind pointer, Kind end) {
        return ((pointer == Kind::PacketData || pointer == Kind::PacketMeta) && end == Kind::PacketEnd) ||
               (pointer == Kind::PacketMeta && end == Kind::PacketData);
    };
    if (proves(state.regs[insn.dst].kind, state.regs[insn.src].kind)) {
        facts.proves = true;
        facts.pointer = insn.dst;
        facts.end = insn.src;
    } else if (proves(state.regs[insn.src].kind, state.regs[insn.dst].kind)) {
        facts.proves = true;
        facts.pointer = insn.src;
        facts.end = insn.dst;
    } else if (may_be_end(state.regs[insn.dst].kind) || may_be_end(state.regs[insn.src].kind)) {
        // data_end compared with something that is not known to be a packet pointer.
        current_->loses_bounds = true;
    }
}

} // namespace flow

Analysis analyse(const LinkedProgram& program, const UserHelpers& own, const ReadOnlyData& read_only) {
    return flow::Flow(program, own, read_only).run();
}

} // namespace mimicsh::vm
