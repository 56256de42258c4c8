// SPDX-License-Identifier: MIT
// Frame of a function: entry, arithmetic, branches and loops, and the fold of everything alive at its end.
#include "tests/difffuzz/function_builder.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <string>
#include <utility>

namespace mimicsh::difffuzz {

using test::insn;

namespace {

Function empty_program(abi::ProgType type) {
    Function made;
    made.name = "main";
    made.spec = {type, usual_attach_type(type).value_or(abi::AttachType::None), 0, {}};
    made.section = section_of_spec(*made.spec);
    return made;
}

constexpr std::array kCompares{op::kJeq,  op::kJne,  op::kJgt,  op::kJge,  op::kJlt, op::kJle,
                               op::kJset, op::kJsgt, op::kJsge, op::kJslt, op::kJsle};

} // namespace

uint32_t Draft::map_index(MapId id) {
    const auto found = std::ranges::find(result.maps, id);
    if (found != result.maps.end()) {
        return static_cast<uint32_t>(found - result.maps.begin());
    }
    result.maps.push_back(id);
    result.object->maps.push_back(pool_map(id));
    return static_cast<uint32_t>(result.maps.size() - 1);
}

uint32_t Draft::extern_index(const char* kfunc) {
    std::vector<ExternDef>& externs = result.object->externs;
    const auto found = std::ranges::find(externs, kfunc, &ExternDef::name);
    if (found != externs.end()) {
        return static_cast<uint32_t>(found - externs.begin());
    }
    externs.push_back({kfunc, ExternKind::Kfunc, false, pool_types().functions[0], pool_types().prototype});
    return static_cast<uint32_t>(externs.size() - 1);
}

FunctionBuilder::FunctionBuilder(Draft& draft, Role role, uint32_t index)
    : draft_(draft), rng_(draft.rng), role_(role), index_(index) {
    static const std::array<Function, 2> kPrograms{empty_program(abi::ProgType::Xdp),
                                                   empty_program(abi::ProgType::SchedCls)};
    if (role == Role::Program) {
        function_ = kPrograms[draft.on_skb() ? 1 : 0];
    } else {
        function_.name = {'f', static_cast<char>('0' + index)};
        function_.section = ".text";
        function_.is_global = false;
    }
    function_.btf_id = pool_types().functions[index];
}

void FunctionBuilder::build(uint32_t length) {
    constexpr size_t kOvershoot = 80; // of the last statement and the end
    function_.insns.reserve(length + kOvershoot);
    function_.relocs.reserve(length / 8);
    begin();
    const uint32_t tail =
        role_ == Role::Program ? 12 : 8; // what finish() adds beyond a statement's overshoot
    limit_ = std::max(here() + 6, length > tail ? length - tail : 0);
    while (!full()) {
        statement();
    }
    finish();
    early_exits();
    draft_.result.object->functions[index_] = std::move(function_);
}

// -- Emitting --

void FunctionBuilder::emit_wide(int dst, int pseudo, uint64_t value) {
    emit(insn(op::kLddw, dst, pseudo, 0, static_cast<int32_t>(static_cast<uint32_t>(value))));
    emit(insn(0, 0, 0, 0, static_cast<int32_t>(value >> 32)));
}

void FunctionBuilder::load_map(int dst, MapId id) {
    function_.relocs.push_back({here(), RelocKind::Map, draft_.map_index(id), 0});
    emit_wide(dst, op::kMapFd, 0);
    set(dst, {});
}

void FunctionBuilder::load_out(int dst, uint32_t offset) {
    function_.relocs.push_back({here(), RelocKind::MapValue, draft_.map_index(MapId::Out), offset});
    emit_wide(dst, op::kMapValue, 0);
    // The results in front are for the end alone.
    set(dst, {Kind::Value, static_cast<int32_t>(kOutInput) - static_cast<int32_t>(offset),
              static_cast<int32_t>(kOutProbe - offset)});
}

void FunctionBuilder::load_text(int dst, uint32_t offset) {
    function_.relocs.push_back({here(), RelocKind::MapValue, draft_.map_index(MapId::Text), offset});
    emit_wide(dst, op::kMapValue, 0);
    set(dst, {});
}

void FunctionBuilder::call_kfunc(const char* name) {
    function_.relocs.push_back({here(), RelocKind::Extern, draft_.extern_index(name), 0});
    emit(insn(op::kJmp | op::kCall, 0, op::kCallKfunc, 0, 0));
}

/// Address of a slot.
void FunctionBuilder::stack_argument(int dst, int slot) {
    emit(test::mov_reg(dst, 10));
    emit(test::add(dst, slot_offset(slot)));
}

void FunctionBuilder::land(uint32_t jump) {
    Insn& from = function_.insns[jump];
    const auto distance = static_cast<int32_t>(here() - jump - 1);
    if (from.code == (op::kJmp32 | op::kJa)) {
        from.imm = distance;
    } else {
        from.off = static_cast<int16_t>(distance);
    }
}

void FunctionBuilder::begin() {
    if (role_ == Role::Program) {
        slots_ = rng_.between(3, kMaxSlots);
        // BPF_LD_ABS wants it in r6.
        context_ = draft_.on_skb() && rng_.one_in(2) ? 6 : rng_.between(6, 9);
        emit(test::mov_reg(context_, 1));
        set(context_, {Kind::Context});
        pinned_ |= 1u << context_;
        load_out(2, kOutInput);
        set(2, {});
        for (int i = 0, count = rng_.between(3, 6); i < count; ++i) {
            const int to = any_target(false, 1u << 2);
            emit(test::load(op::kDw, to, 2, 8 * rng_.between(0, 11)));
            set(to, {Kind::Scalar});
        }
        if (rng_.one_in(2)) {
            set(2, {Kind::Value, 0, static_cast<int32_t>(kOutProbe - kOutInput)});
        }
        return;
    }
    slots_ = rng_.between(1, 4);
    const Signature& signature = draft_.signatures[index_];
    for (size_t i = 0; i < signature.args.size() && signature.args[i] != Kind::None; ++i) {
        const int reg = static_cast<int>(i) + 1;
        const Kind kind = signature.args[i];
        set(reg, {kind == Kind::Ignored ? Kind::None : kind, 0,
                  kind == Kind::Words || kind == Kind::Value ? 16 : 0});
        if (signature.args[i] == Kind::Context) {
            context_ = rng_.between(6, 9);
            emit(test::mov_reg(context_, reg));
            set(context_, {Kind::Context});
            pinned_ |= 1u << context_;
        }
    }
}

void FunctionBuilder::finish() {
    if (role_ == Role::Program) {
        finish_program();
        return;
    }
    if (at(0).kind != Kind::Scalar) {
        emit(test::mov(0, rng_.immediate()));
    }
    for (uint32_t regs = state_.having(Kind::Scalar) & ~1u; regs != 0; regs &= regs - 1) {
        const int reg = std::countr_zero(regs);
        emit(insn(op::kAlu64 | op::kMul, 0, 0, 0, rng_.immediate() | 1));
        emit(insn(op::kAlu64 | (rng_.one_in(2) ? op::kXor : op::kAdd) | op::kX, 0, reg, 0, 0));
    }
    if (role_ == Role::Callback || role_ == Role::EachCallback) {
        emit(insn(op::kAlu64 | op::kAnd, 0, 0, 0, 1)); // 0 goes on, 1 ends the loop
    }
    emit(test::exit_insn());
}

/// Stores every live number in the result map, then folds them into r0, both halves into the low one.
void FunctionBuilder::finish_program() {
    int out = context_;
    const uint32_t live = state_.having(Kind::Scalar);
    load_out(out, 0);
    for (uint32_t regs = live; regs != 0; regs &= regs - 1) {
        const int reg = std::countr_zero(regs);
        emit(test::store_reg(op::kDw, out, static_cast<int>(kOutRegs) + 8 * reg, reg));
    }
    if (at(0).kind != Kind::Scalar) {
        emit(test::mov(0, rng_.immediate()));
    }
    for (uint32_t regs = live & ~1u; regs != 0; regs &= regs - 1) {
        emit(insn(op::kAlu64 | op::kMul, 0, 0, 0, rng_.immediate() | 1));
        emit(insn(op::kAlu64 | op::kXor | op::kX, 0, std::countr_zero(regs), 0, 0));
    }
    const int word = out == 9 ? 8 : 9;
    const int shown = std::min(slots_, static_cast<int>(kOutStackWords));
    uint32_t slots = state_.numbers(0xff) & ((1u << shown) - 1);
    for (; slots != 0; slots &= slots - 1) {
        const int slot = std::countr_zero(slots);
        emit(test::load(op::kDw, word, 10, slot_offset(slot)));
        emit(test::store_reg(op::kDw, out, static_cast<int>(kOutStack) + 8 * slot, word));
        emit(insn(op::kAlu64 | op::kMul, 0, 0, 0, rng_.immediate() | 1));
        emit(insn(op::kAlu64 | op::kAdd | op::kX, 0, word, 0, 0));
    }
    emit(test::load(op::kDw, word, out, static_cast<int>(kOutEnds)));
    emit(test::add(word, 1));
    emit(test::store_reg(op::kDw, out, static_cast<int>(kOutEnds), word));
    emit(test::mov_reg(word, 0));
    emit(insn(op::kAlu64 | op::kRsh, word, 0, 0, 32));
    emit(insn(op::kAlu64 | op::kXor | op::kX, 0, word, 0, 0));
    emit(test::exit_insn());
}

/// Early exits get rarer the longer a function is, so that runs reach its end.
bool FunctionBuilder::may_exit_early() {
    return held_ == 0 && rng_.one_in(2 + limit_ / 50);
}

/// A conditional jump to an exit that returns a constant.
void FunctionBuilder::early_exit(int jump_code, int dst, int src, int32_t imm) {
    exits_.push_back(here());
    emit(insn(jump_code, dst, src, 0, imm));
}

void FunctionBuilder::early_exits() {
    if (exits_.empty()) {
        return;
    }
    for (uint32_t jump : exits_) {
        function_.insns[jump].off = static_cast<int16_t>(function_.insns.size() - jump - 1);
    }
    function_.insns.push_back(test::mov(
        0, role_ == Role::Callback || role_ == Role::EachCallback ? rng_.between(0, 1) : rng_.immediate()));
    function_.insns.push_back(test::exit_insn());
}

// -- Registers --

/// Registers that may be written, by bit.
uint32_t FunctionBuilder::writable(bool for_pointer) const {
    constexpr uint32_t kAll = 0x3ff, kSaved = 0x3c0;
    // What a loop's head knows about r6-r9 must hold when it is reached again.
    const uint32_t kept = loops_ == 0 ? 0 : for_pointer ? kSaved : kSaved & state_.pointers();
    return kAll & ~(pinned_ | kept);
}

/// A register that may be written; none that `without` has a bit for.
int FunctionBuilder::any_target(bool for_pointer, uint32_t without) {
    const uint32_t allowed = writable(for_pointer) & ~without;
    const uint32_t pointers = state_.pointers();
    // Live pointers are worth keeping for a while.
    for (int attempt = 0; attempt < 24; ++attempt) {
        const int reg = rng_.between(0, 9);
        const bool spare = (pointers >> reg & 1) != 0 && attempt < 6 && !rng_.one_in(4);
        if ((allowed >> reg & 1) != 0 && !spare) {
            return reg;
        }
    }
    return std::countr_one(without & 0x3f) % 6;
}

int FunctionBuilder::find(Kind kind, uint32_t without) {
    const int first = rng_.between(0, 9);
    return first_from(state_.having(kind) & ~without, first, 10);
}

/// A register with a number in it; makes one when there is none.
int FunctionBuilder::scalar() {
    const int reg = find(Kind::Scalar);
    if (reg >= 0) {
        return reg;
    }
    move();
    return find(Kind::Scalar);
}

void FunctionBuilder::forget_caller_saved() {
    state_.forget(0x3e);
    set(0, {Kind::Scalar});
}

// -- Statements --

void FunctionBuilder::statement() {
    struct Choice {
        uint32_t weight;
        void (FunctionBuilder::*make)();
    };
    static constexpr std::array kChoices{
        Choice{8, &FunctionBuilder::stack_access},    Choice{2, &FunctionBuilder::stack_variable},
        Choice{2, &FunctionBuilder::spill},           Choice{4, &FunctionBuilder::packet_check},
        Choice{2, &FunctionBuilder::packet_variable}, Choice{10, &FunctionBuilder::memory_access},
        Choice{2, &FunctionBuilder::out_access},      Choice{4, &FunctionBuilder::atomic},
        Choice{8, &FunctionBuilder::branch},          Choice{2, &FunctionBuilder::loop},
        Choice{2, &FunctionBuilder::may_goto_loop},   Choice{4, &FunctionBuilder::map_call},
        Choice{3, &FunctionBuilder::helper_call},     Choice{3, &FunctionBuilder::more_call},
        Choice{2, &FunctionBuilder::packet_length},   Choice{4, &FunctionBuilder::local_call},
        Choice{2, &FunctionBuilder::loop_call},       Choice{10, &FunctionBuilder::move},
        Choice{1, &FunctionBuilder::either_access},   Choice{53, &FunctionBuilder::alu},
    };
    static constexpr auto kTable = [] { // by what is drawn
        std::array<uint8_t, 128> table{};
        size_t at = 0;
        for (uint8_t i = 0; i < kChoices.size(); ++i) {
            for (uint32_t weight = kChoices[i].weight; weight > 0; --weight) {
                table[at++] = i;
            }
        }
        assert(at == table.size());
        return table;
    }();
    (this->*kChoices[rng_.pick(kTable)].make)();
}

/// A new number in any register.
void FunctionBuilder::move() {
    const int to = any_target();
    const int from = find(Kind::Scalar);
    const int kind = from < 0 ? rng_.between(5, 7) : rng_.between(0, 7);
    const bool wide = rng_.one_in(2);
    const int cls = wide ? op::kAlu64 : op::kAlu;
    if (kind < 2) {
        emit(insn(cls | op::kMov | op::kX, to, from, 0, 0));
    } else if (kind < 5) { // sign extension
        const int widths[] = {8, 16, 32};
        emit(insn(cls | op::kMov | op::kX, to, from, widths[rng_.below(wide ? 3 : 2)], 0));
    } else if (kind == 5) {
        emit_wide(to, 0, rng_.operand());
    } else {
        emit(insn(cls | op::kMov, to, 0, 0, rng_.immediate()));
    }
    set(to, {Kind::Scalar});
}

void FunctionBuilder::alu() {
    const int dst = find(Kind::Scalar, pinned_);
    if (dst < 0) {
        return move();
    }
    static constexpr std::array kOps{op::kAdd, op::kSub, op::kMul,  op::kOr,  op::kAnd, op::kXor,
                                     op::kLsh, op::kRsh, op::kArsh, op::kLsh, op::kRsh, op::kArsh};
    const bool wide = rng_.one_in(2);
    const int cls = wide ? op::kAlu64 : op::kAlu;
    const uint32_t kind = rng_.below(20);
    // For each division the kernel moves all that it knows of the instructions behind.
    const bool divides = kind < 4 && (!draft_.is_long() || rng_.one_in(3));
    if (divides) {
        return divide(dst, wide);
    }
    if (kind >= 4 && kind < 7) {
        return unary(dst, wide);
    }
    const int operation = rng_.pick(kOps);
    if (rng_.one_in(2)) {
        emit(insn(cls | operation | op::kX, dst, scalar(), 0, 0));
        return;
    }
    const bool shifts = operation == op::kLsh || operation == op::kRsh || operation == op::kArsh;
    const int32_t imm = !shifts          ? rng_.immediate()
                        : rng_.one_in(4) ? (wide ? 63 : 31)
                                         : rng_.between(0, wide ? 63 : 31);
    emit(insn(cls | operation | op::kK, dst, 0, 0, imm));
}

/// Division and remainder, signed and unsigned; by a register that may be 0.
void FunctionBuilder::divide(int dst, bool wide) {
    const int operation = rng_.one_in(2) ? op::kDiv : op::kMod;
    const bool is_signed = rng_.one_in(2);
    const int cls = wide ? op::kAlu64 : op::kAlu;
    if (rng_.one_in(2)) {
        emit(insn(cls | operation | op::kX, dst, scalar(), is_signed ? 1 : 0, 0));
        return;
    }
    const int32_t imm = rng_.immediate();
    emit(insn(cls | operation | op::kK, dst, 0, is_signed ? 1 : 0, imm == 0 ? -1 : imm));
}

void FunctionBuilder::unary(int dst, bool wide) {
    const int widths[] = {16, 32, 64};
    const int width = widths[rng_.below(3)];
    switch (rng_.below(4)) {
    case 0:
        return emit(insn((wide ? op::kAlu64 : op::kAlu) | op::kNeg, dst, 0, 0, 0));
    case 1:
        return emit(insn(op::kAlu | op::kEnd | op::kX, dst, 0, 0, width)); // to big endian
    case 2:
        return emit(insn(op::kAlu | op::kEnd, dst, 0, 0, width)); // to little endian
    default:
        return emit(insn(op::kAlu64 | op::kEnd, dst, 0, 0, width));
    }
}

/// A conditional jump over what `compare` guards; returns through land().
void FunctionBuilder::compare(int dst) {
    const int cls = rng_.one_in(2) ? op::kJmp : op::kJmp32;
    const int code = rng_.pick(kCompares);
    if (rng_.one_in(2)) {
        emit(insn(cls | code | op::kX, dst, scalar(), 0, 0));
    } else {
        emit(insn(cls | code | op::kK, dst, 0, 0, rng_.immediate()));
    }
}

/// if, or if and else.
void FunctionBuilder::branch() {
    if (nesting_ >= (draft_.is_long() ? 2 : 3) || (draft_.is_long() && rng_.one_in(2))) {
        return alu(); // both ways of each are walked unless the states that meet are alike
    }
    const int dst = scalar();
    (void)scalar();
    if (rng_.one_in(4) && may_exit_early()) {
        const int cls = rng_.one_in(2) ? op::kJmp : op::kJmp32;
        early_exit(cls | rng_.pick(kCompares), dst, 0, rng_.immediate());
        return;
    }
    ++nesting_;
    const uint32_t over = here();
    compare(dst);
    State other = state_; // on the other way
    for (int i = rng_.between(1, 5); i > 0; --i) {
        statement();
    }
    if (rng_.one_in(3)) {
        std::swap(state_, other);
        const uint32_t skip = here();
        emit(rng_.one_in(3) ? insn(op::kJmp32 | op::kJa, 0, 0, 0, 0) : test::jump(0));
        land(over);
        for (int i = rng_.between(1, 4); i > 0; --i) {
            statement();
        }
        land(skip);
    } else {
        land(over);
    }
    state_.meet(other);
    --nesting_;
}

/// What is not there whenever the head is reached is forgotten: caller-saved registers.
void FunctionBuilder::prepare_loop() {
    state_.forget(0x3f);
    draft_.note(Feature::Loop);
}

/// do ... while (--counter), the counter in a register that the body leaves alone.
void FunctionBuilder::loop() {
    if (loops_ >= 2 || nesting_ >= 2) {
        return alu();
    }
    if (draft_.is_long() && (loops_ > 0 || !rng_.one_in(12))) {
        return alu(); // walked turn by turn
    }
    const int counter = rng_.between(6, 9);
    if (!writable(counter) || (loops_ > 0 && at(counter).kind != Kind::Scalar)) {
        return alu();
    }
    prepare_loop();
    ++loops_;
    ++nesting_;
    emit(test::mov(counter, rng_.between(1, loops_ == 1 ? 6 : 3)));
    set(counter, {Kind::Scalar});
    const uint32_t pinned = pinned_;
    pinned_ |= 1u << counter;
    const uint32_t head = here();
    for (int i = rng_.between(2, 6); i > 0; --i) {
        statement();
    }
    pinned_ = pinned;
    emit(test::add(counter, -1));
    const int back = static_cast<int>(head) - static_cast<int>(here()) - 1;
    emit(insn((rng_.one_in(2) ? op::kJmp : op::kJmp32) | (rng_.one_in(2) ? op::kJne : op::kJsgt), counter, 0,
              back, 0));
    --nesting_;
    --loops_;
}

/// while (may_goto) { ...; if (--counter == 0) break; }
void FunctionBuilder::may_goto_loop() {
    if (loops_ >= 1 || nesting_ >= 2 || (draft_.is_long() && !rng_.one_in(6))) {
        return alu();
    }
    const int counter = rng_.between(6, 9);
    if (!writable(counter)) {
        return alu();
    }
    prepare_loop();
    ++loops_;
    ++nesting_;
    emit(test::mov(counter, rng_.between(1, 5)));
    set(counter, {Kind::Scalar});
    const uint32_t pinned = pinned_;
    pinned_ |= 1u << counter;
    const State at_head = state_;
    const uint32_t head = here();
    emit(insn(op::kJmp | op::kJcond, 0, 0, 0, 0));
    for (int i = rng_.between(1, 5); i > 0; --i) {
        draft_.is_long() ? straight_statement() : statement();
    }
    pinned_ = pinned;
    emit(test::add(counter, -1));
    const uint32_t out = here();
    emit(insn(op::kJmp | op::kJeq, counter, 0, 0, 0));
    emit(test::jump(static_cast<int>(head) - static_cast<int>(here()) - 1));
    land(head);
    land(out);
    state_.meet(at_head);
    --nesting_;
    --loops_;
}

} // namespace mimicsh::difffuzz
