// SPDX-License-Identifier: MIT
// Statements on queues, stacks, bloom filters, maps of maps and values with a lock, and callbacks for all
// entries.
#include <algorithm>

#include "tests/difffuzz/function_builder.h"

namespace mimicsh::difffuzz {

using test::insn;

namespace {

enum Helper : int32_t {
    kLookup = 1,
    kPush = 87,
    kPop = 88,
    kPeek = 89,
    kLock = 93,
    kUnlock = 94,
    kForEach = 164,
};

} // namespace

/// Push, pop and peek; for a bloom filter push and peek.
void FunctionBuilder::container_call() {
    const int low = init_run(1);
    if (low < 0) {
        return alu();
    }
    draft_.note(Feature::MapHelper);
    draft_.note(Feature::Container);
    const MapId id = rng_.pick(std::array{MapId::Queue, MapId::Stack, MapId::Bloom});
    const bool pushes = rng_.one_in(2);
    if (id == MapId::Bloom) { // few values, so that some are found
        const int from = find(Kind::Scalar, pinned_);
        if (from >= 0) {
            emit(insn(op::kAlu64 | op::kAnd, from, 0, 0, 3));
            emit(test::store_reg(op::kDw, 10, slot_offset(low), from));
        } else {
            emit(test::store_imm(op::kDw, 10, slot_offset(low), rng_.between(0, 3)));
        }
    }
    if (pushes) {
        emit(test::mov(3, rng_.one_in(10) ? rng_.between(1, 3) : rng_.one_in(3) ? 2 : 0));
    }
    stack_argument(2, low);
    load_map(1, id);
    emit(test::call(pushes ? kPush : id == MapId::Bloom || rng_.one_in(2) ? kPeek : kPop));
    forget_caller_saved();
}

/// An array that is the value of another.
void FunctionBuilder::nested_lookup() {
    const int slot = free_slot();
    if (slot < 0 || nesting_ >= 3) {
        return alu();
    }
    draft_.note(Feature::MapHelper);
    draft_.note(Feature::NestedMap);
    (void)draft_.map_index(MapId::Inner);
    put_key(MapId::Outer, slot);
    stack_argument(2, slot);
    load_map(1, MapId::Outer);
    emit(test::call(kLookup));
    forget_caller_saved();
    set(0, {});
    const uint32_t no_map = here();
    emit(insn(op::kJmp | op::kJeq, 0, 0, 0, 0));
    const State missing = state_;
    emit(test::store_imm(op::kDw, 10, slot_offset(slot), rng_.between(0, 4)));
    stack_argument(2, slot);
    emit(test::mov_reg(1, 0));
    emit(test::call(kLookup));
    forget_caller_saved();
    set(0, {});
    const uint32_t no_value = here();
    emit(insn(op::kJmp | op::kJeq, 0, 0, 0, 0));
    ++nesting_;
    set(0, {Kind::Value, 0, 16});
    use_value(16);
    --nesting_;
    land(no_map);
    land(no_value);
    state_.meet(missing);
}

/// bpf_for_each_map_elem on arrays, whose order both sides share.
void FunctionBuilder::each_call() {
    const int low = role_ != Role::Program || draft_.each_callbacks == 0 || loops_ > 0 ? -1 : init_run(2);
    if (low < 0) {
        return container_call();
    }
    uint32_t callee = 0;
    while ((draft_.each_callbacks >> callee & 1) == 0) {
        ++callee;
    }
    draft_.note(Feature::MapHelper);
    draft_.note(Feature::ForEach);
    function_.relocs.push_back({here(), RelocKind::FuncAddress, callee, 0});
    emit_wide(2, op::kFunc, 0);
    stack_argument(3, low);
    emit(test::mov(4, rng_.one_in(12) ? 1 : 0));
    load_map(1, rng_.one_in(2) ? MapId::Array : MapId::PercpuArray);
    emit(test::call(kForEach));
    forget_caller_saved();
}

/// Reads and writes of a value under its lock.
void FunctionBuilder::lock_call() {
    const int slot = free_slot();
    const int kept = rng_.between(6, 9);
    if (slot < 0 || nesting_ >= 3 || !writable(kept, true)) {
        return nested_lookup();
    }
    draft_.note(Feature::MapHelper);
    draft_.note(Feature::Lock);
    put_key(MapId::Locked, slot);
    stack_argument(2, slot);
    load_map(1, MapId::Locked);
    emit(test::call(kLookup));
    forget_caller_saved();
    set(0, {});
    set(kept, {});
    const uint32_t over = here();
    emit(insn(op::kJmp | op::kJeq, 0, 0, 0, 0));
    const State missing = state_;
    emit(test::mov_reg(kept, 0));
    emit(test::mov_reg(1, kept));
    emit(test::call(kLock));
    forget_caller_saved();
    set(0, {});
    const Place numbers{Kind::Value, kLockedNumbers, kLockedSize};
    const uint32_t pinned = pinned_;
    pinned_ |= 1u << kept;
    set(kept, numbers);
    for (int i = rng_.between(1, 3); i > 0; --i) {
        rng_.one_in(3) ? alu() : access(kept, numbers);
    }
    pinned_ = pinned;
    emit(test::mov_reg(1, kept));
    emit(test::call(kUnlock));
    forget_caller_saved();
    set(0, {});
    land(over);
    state_.meet(missing);
}

} // namespace mimicsh::difffuzz
