// SPDX-License-Identifier: MIT
// Statements that load and store: stack, packet, map values, the caller's stack; atomics.
#include <algorithm>
#include <bit>

#include "tests/difffuzz/function_builder.h"

namespace mimicsh::difffuzz {

using test::insn;

namespace {

constexpr std::array kSizes{op::kB, op::kH, op::kW, op::kDw};
constexpr std::array<int32_t, 10> kAtomics{op::kAdd,
                                           op::kOr,
                                           op::kAnd,
                                           op::kXor,
                                           op::kAdd | op::kFetch,
                                           op::kOr | op::kFetch,
                                           op::kAnd | op::kFetch,
                                           op::kXor | op::kFetch,
                                           op::kXchg,
                                           op::kCmpxchg};

int bytes_of(int size) {
    return static_cast<int>(access_size(static_cast<uint8_t>(size)));
}

} // namespace

// -- Stack --

/// A slot of numbers whose bytes in `mask` are written; -1 = none.
int FunctionBuilder::slot_of_numbers(uint8_t mask) {
    const int first = rng_.between(0, slots_ - 1);
    return first_from(state_.numbers(mask) & own_slots(), first, slots_);
}

/// A slot that may be written; -1 = none.
int FunctionBuilder::free_slot() {
    const int first = rng_.between(0, slots_ - 1);
    return first_from(own_slots() & ~not_free(), first, slots_);
}

/// Writes all eight bytes of a slot.
void FunctionBuilder::init_slot(int slot) {
    const int from = find(Kind::Scalar);
    if (from >= 0 && !rng_.one_in(3)) {
        emit(test::store_reg(op::kDw, 10, slot_offset(slot), from));
    } else {
        emit(test::store_imm(op::kDw, 10, slot_offset(slot), rng_.immediate()));
    }
    state_.fill(slot);
}

/// Makes `count` neighbouring slots of numbers; returns the one with the lowest address, -1 = no room.
int FunctionBuilder::init_run(int count) {
    if (slots_ < count) {
        return -1;
    }
    const int low = rng_.between(count - 1, slots_ - 1);
    const uint32_t run = ((1u << count) - 1) << (low - count + 1);
    if ((run & not_free()) != 0) {
        return -1;
    }
    const uint32_t ready = state_.numbers(0xff);
    for (int slot = low; slot > low - count; --slot) {
        if ((ready >> slot & 1) == 0 || rng_.one_in(3)) {
            init_slot(slot);
        }
    }
    return low;
}

void FunctionBuilder::stack_access() {
    const int size = rng_.pick(kSizes);
    const int bytes = bytes_of(size);
    const int within = bytes * rng_.between(0, 8 / bytes - 1);
    const auto mask = static_cast<uint8_t>(((1u << bytes) - 1) << within);
    if (const int slot = slot_of_numbers(mask); slot >= 0 && rng_.one_in(2)) {
        const int to = any_target();
        const int off = slot_offset(slot) + within;
        if (size != op::kDw && rng_.one_in(3)) {
            emit(insn(op::kLdx | op::kMemSx | size, to, 10, off, 0));
        } else if (rng_.one_in(6)) {
            emit(insn(op::kStx | op::kAtomic | size, to, 10, off, op::kLoadAcquire));
        } else {
            emit(test::load(size, to, 10, off));
        }
        set(to, {Kind::Scalar});
        return;
    }
    const int slot = free_slot();
    if (slot < 0) {
        return alu();
    }
    if ((state_.spilled() >> slot & 1) != 0 || rng_.one_in(3)) {
        return init_slot(slot);
    }
    const int from = find(Kind::Scalar);
    const int off = slot_offset(slot) + within;
    if (from < 0 || rng_.one_in(4)) {
        emit(test::store_imm(size, 10, off, rng_.immediate()));
    } else if (rng_.one_in(6)) {
        emit(insn(op::kStx | op::kAtomic | size, 10, from, off, op::kStoreRelease));
    } else {
        emit(test::store_reg(size, 10, off, from));
    }
    state_.write(slot, mask);
}

/// A word of an initialised run, the word chosen at run time.
void FunctionBuilder::stack_variable() {
    const int index = find(Kind::Scalar, pinned_);
    const int low = index < 0 ? -1 : init_run(4);
    if (low < 0) {
        return stack_access();
    }
    const int base = any_target(true, 1u << index);
    emit(test::mov_reg(base, 10));
    emit(insn(op::kAlu64 | op::kAnd, index, 0, 0, 24));
    emit(insn(op::kAlu64 | op::kAdd | op::kX, base, index, 0, 0));
    set(base, {});
    if (const int from = find(Kind::Scalar); rng_.one_in(2) && from >= 0) {
        emit(test::store_reg(op::kDw, base, slot_offset(low), from));
    } else {
        const int to = any_target();
        emit(test::load(op::kDw, to, base, slot_offset(low)));
        set(to, {Kind::Scalar});
    }
}

/// A pointer goes to the stack, or comes back.
void FunctionBuilder::spill() {
    if (state_.spilled() != 0) {
        const int slot = std::countr_zero(state_.spilled());
        const int to = any_target(true);
        emit(test::load(op::kDw, to, 10, slot_offset(slot)));
        set(to, state_.spilled(slot));
        return;
    }
    const int slot = loops_ > 0 ? -1 : free_slot();
    if (slot >= 0 && state_.pointers() != 0) {
        const int reg = std::countr_zero(state_.pointers());
        emit(test::store_reg(op::kDw, 10, slot_offset(slot), reg));
        state_.spill(slot, at(reg));
        return;
    }
    stack_access();
}

// -- Packet --

/// Loads data and data_end, compares, and leaves a pointer with proven bytes behind.
void FunctionBuilder::packet_check() {
    if (held_ > 0 && nesting_ >= 3) {
        return alu(); // neither a way around nor a way out
    }
    if (context_ < 0) {
        return memory_access();
    }
    const int32_t proven = rng_.one_in(4) ? rng_.between(1, 120) : rng_.between(14, 54);
    const int data = any_target(true);
    const int end = any_target(true, 1u << data);
    const int limit = any_target(true, 1u << data | 1u << end);
    emit(test::load(op::kW, data, context_, data_field()));
    if (rng_.one_in(2)) {
        emit(test::load(op::kW, end, context_, end_field()));
        emit(test::mov_reg(limit, data));
        emit(test::add(limit, proven));
    } else {
        emit(test::mov_reg(limit, data));
        emit(test::add(limit, proven));
        emit(test::load(op::kW, end, context_, end_field()));
    }
    guard_packet(
        limit, end,
        {{{data, {Kind::Packet, 0, proven}}, {limit, {Kind::Packet, -proven, 0}}, {end, {Kind::PacketEnd}}}});
}

/// Compares `limit` with `end`. Where the packet is too short, the function ends, or what follows is skipped.
void FunctionBuilder::guard_packet(int limit, int end, const std::array<std::pair<int, Place>, 3>& proven) {
    struct Form {
        int compare;
        bool limit_first;
    };
    static constexpr std::array<Form, 4> kForms{Form{op::kJgt, true}, Form{op::kJge, true},
                                                Form{op::kJlt, false}, Form{op::kJle, false}};
    const Form form = rng_.pick(kForms);
    const int code = op::kJmp | form.compare | op::kX;
    const int dst = form.limit_first ? limit : end;
    const int src = form.limit_first ? end : limit;
    if (nesting_ >= 3 || may_exit_early()) {
        early_exit(code, dst, src, 0);
        for (const auto& [reg, place] : proven) {
            set(reg, place);
        }
        return;
    }
    for (const auto& [reg, place] : proven) {
        set(reg, {place.kind, 0, 0}); // a pointer, but to no proven bytes
    }
    const State too_short = state_;
    const uint32_t over = here();
    emit(insn(code, dst, src, 0, 0));
    for (const auto& [reg, place] : proven) {
        set(reg, place);
    }
    ++nesting_;
    for (int i = rng_.between(2, 5); i > 0; --i) {
        rng_.one_in(2) ? memory_access() : statement();
    }
    --nesting_;
    land(over);
    state_.meet(too_short);
}

/// A pointer at an offset that only the run knows, checked anew.
void FunctionBuilder::packet_variable() {
    const int index = find(Kind::Scalar, pinned_);
    if (context_ < 0 || index < 0 || (held_ > 0 && nesting_ >= 3)) {
        return stack_access();
    }
    const int base = any_target(true, 1u << index);
    const int limit = any_target(true, 1u << index | 1u << base);
    const int32_t proven = rng_.between(1, 16);
    emit(insn((rng_.one_in(2) ? op::kAlu64 : op::kAlu) | op::kAnd, index, 0, 0, rng_.one_in(2) ? 31 : 60));
    emit(test::load(op::kW, base, context_, data_field()));
    emit(insn(op::kAlu64 | op::kAdd | op::kX, base, index, 0, 0));
    emit(test::mov_reg(limit, base));
    emit(test::add(limit, proven));
    // The number has served, so its register may hold the end; not where a loop's head expects the number.
    const int end = writable(index, true) ? index : any_target(true, 1u << base | 1u << limit);
    emit(test::load(op::kW, end, context_, end_field()));
    guard_packet(
        limit, end,
        {{{base, {Kind::Packet, 0, proven}}, {limit, {Kind::Packet, -proven, 0}}, {end, {Kind::PacketEnd}}}});
}

/// data_end - data as a number.
void FunctionBuilder::packet_length() {
    if (context_ < 0) {
        return alu();
    }
    const int end = any_target();
    const int data = any_target(true, 1u << end);
    emit(test::load(op::kW, end, context_, end_field()));
    emit(test::load(op::kW, data, context_, data_field()));
    emit(insn(op::kAlu64 | op::kSub | op::kX, end, data, 0, 0));
    set(end, {Kind::Scalar});
    set(data, {Kind::Packet, 0, 0});
}

// -- Through pointers --

void FunctionBuilder::memory_access() {
    (void)scalar();
    const uint32_t usable = state_.bases();
    if (usable == 0) {
        return rng_.one_in(2) ? packet_check() : out_access();
    }
    const int base = bit_of(usable, rng_.below(static_cast<uint32_t>(std::popcount(usable))));
    if (rng_.one_in(8)) { // a copy at another offset
        const int copy = any_target(true, 1u << base);
        const Place place = at(base);
        const bool on_stack = place.kind == Kind::Words;
        const int32_t by = on_stack ? 8 * rng_.between(-1, 1) : rng_.between(-8, 24);
        emit(test::mov_reg(copy, base));
        emit(by < 0 && !on_stack && rng_.one_in(2) ? insn(op::kAlu64 | op::kSub, copy, 0, 0, -by)
                                                   : test::add(copy, by));
        set(copy, {place.kind, place.low - by, place.high - by, place.aligned && by % 8 == 0});
        return;
    }
    const Place place = at(base);
    if (place.kind != Kind::Packet && place.aligned && rng_.one_in(5)) {
        return atomic_at(base, place.kind == Kind::Words ? 8 * rng_.between(0, 1) : 0, true);
    }
    access(base, place);
}

void FunctionBuilder::access(int base, Place place) {
    int size = rng_.pick(kSizes);
    while (bytes_of(size) > place.high - place.low) {
        size = size == op::kDw ? op::kW : size == op::kW ? op::kH : op::kB;
    }
    int32_t off = rng_.between(place.low, place.high - bytes_of(size));
    if (place.kind == Kind::Words) {
        off = off / bytes_of(size) * bytes_of(size); // on a stack alignment is asked for
    }
    const int from = find(Kind::Scalar);
    if (rng_.one_in(5) || (from >= 0 && rng_.one_in(3))) {
        if (from < 0 || rng_.one_in(4)) {
            emit(test::store_imm(size, base, off, rng_.immediate()));
        } else {
            emit(test::store_reg(size, base, off, from));
        }
        return;
    }
    const int to = any_target(false, rng_.one_in(3) ? 0 : 1u << base);
    if (size != op::kDw && rng_.one_in(4)) {
        emit(insn(op::kLdx | op::kMemSx | size, to, base, off, 0));
    } else {
        emit(test::load(size, to, base, off));
    }
    set(to, {Kind::Scalar});
}

/// Directly into the result map, as C programs do with global variables.
void FunctionBuilder::out_access() {
    const int base = any_target(true);
    load_out(base, kOutInput + 8 * rng_.below(12));
    const Place place{Kind::Value, 0, at(base).high};
    access(base, place);
}

/// One instruction on memory of two kinds: the base points to the stack on one way there and to a map's value
/// on the other, the ways being a branch or the turns of a loop.
void FunctionBuilder::either_access() {
    const int chooser = rng_.between(6, 9);
    const int sum = find(Kind::Scalar, pinned_ | 1u << chooser);
    const bool possible = loops_ == 0 && nesting_ < 2 && held_ == 0 && writable(chooser) && sum >= 0;
    const int slot = possible ? init_run(1) : -1;
    if (slot < 0) {
        return out_access();
    }
    const uint32_t taken = 1u << chooser | 1u << sum;
    const int base = any_target(true, taken);
    const int loaded = any_target(false, taken | 1u << base);
    const bool stack_first = rng_.one_in(2);
    const auto point = [&](bool to_stack) {
        if (to_stack) {
            stack_argument(base, slot);
        } else {
            load_out(base, kOutInput + 8 * rng_.below(12));
        }
    };
    const auto use = [&] {
        const int size = rng_.one_in(3) ? op::kDw : rng_.pick(kSizes);
        if (rng_.one_in(3)) {
            emit(test::store_reg(size, base, 0, sum));
        }
        emit(test::load(size, loaded, base, 0));
        emit(insn(op::kAlu64 | (rng_.one_in(2) ? op::kAdd : op::kXor) | op::kX, sum, loaded, 0, 0));
    };
    set(base, {});
    set(loaded, {});
    if (rng_.one_in(2)) {
        emit(test::mov(chooser, rng_.between(1, 3)));
        point(stack_first);
        const uint32_t head = here();
        use();
        point(!stack_first);
        emit(test::add(chooser, -1));
        emit(insn(op::kJmp | op::kJne, chooser, 0, static_cast<int>(head) - static_cast<int>(here()) - 1, 0));
        draft_.note(Feature::Loop);
    } else {
        point(stack_first);
        const uint32_t other = here();
        emit(insn(op::kJmp | op::kJset, sum, 0, 0, 1));
        point(!stack_first);
        land(other);
        use();
        emit(test::mov(chooser, 0));
    }
    set(chooser, {Kind::Scalar});
    set(base, {});
    set(loaded, {Kind::Scalar});
}

// -- Atomics --

void FunctionBuilder::atomic() {
    const bool wide = rng_.one_in(2);
    const int half = wide ? 0 : 4 * rng_.between(0, 1);
    const int slot = slot_of_numbers(static_cast<uint8_t>(wide ? 0xff : 0xf << half));
    if (slot < 0 || rng_.one_in(3)) {
        const int base = any_target(true, 1);
        load_out(base, kOutInput + 8 * rng_.below(12));
        return atomic_at(base, wide ? 0 : half, wide);
    }
    atomic_at(10, slot_offset(slot) + half, wide);
}

/// An atomic operation at an aligned offset whose bytes are initialised.
void FunctionBuilder::atomic_at(int base, int32_t offset, bool wide) {
    const int src = find(Kind::Scalar, pinned_);
    if (src < 0) {
        return;
    }
    if (base != 10 && (at(base).low > offset || at(base).high < offset + 8)) {
        return;
    }
    int operation = rng_.pick(kAtomics);
    if (operation == op::kCmpxchg && at(0).kind != Kind::Scalar) {
        operation = op::kXchg;
    }
    const int size = wide ? op::kDw : op::kW;
    if (base != 10 && rng_.one_in(4)) {
        emit(rng_.one_in(2) ? insn(op::kStx | op::kAtomic | size, src, base, offset, op::kLoadAcquire)
                            : insn(op::kStx | op::kAtomic | size, base, src, offset, op::kStoreRelease));
        return;
    }
    emit(insn(op::kStx | op::kAtomic | size, base, src, offset, operation));
    draft_.note(Feature::Atomic);
    if (operation == op::kCmpxchg && !wide) {
        // Linux 6.18 may leave the upper half of r0 as it was (docs/fuzz.md).
        emit(insn(op::kAlu | op::kMov | op::kX, 0, 0, 0, 0));
    }
    const bool on_stack = base == 10 || at(base).kind == Kind::Words;
    if (on_stack && (operation & op::kFetch) != 0) {
        // Linux 6.18's verifier forgets that what it knows of this number came from the stack, and may take
        // out a branch that is taken (docs/fuzz.md). So the number is looked at, and used no more.
        const int fetched = operation == op::kCmpxchg ? 0 : src;
        const int out = any_target(true, 1u << fetched | 1u << base);
        load_out(out, kOutInput + 8 * rng_.below(12));
        emit(test::store_reg(op::kDw, out, 0, fetched));
        emit(test::mov(fetched, rng_.immediate()));
    }
}

} // namespace mimicsh::difffuzz
