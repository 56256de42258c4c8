// SPDX-License-Identifier: MIT
// Statements that call: map helpers, packet helpers, subprograms, bpf_loop, tail calls.
#include <algorithm>
#include <bit>

#include "tests/difffuzz/function_builder.h"

namespace mimicsh::difffuzz {

using test::insn;

namespace {

enum Helper : int32_t {
    kLookup = 1,
    kUpdate = 2,
    kDelete = 3,
    kTailCall = 12,
    kRedirect = 23,
    kCsumDiff = 28,
    kAdjustHead = 44,
    kAdjustMeta = 54,
    kAdjustTail = 65,
    kRingOutput = 130,
    kRingReserve = 131,
    kRingSubmit = 132,
    kRingDiscard = 133,
    kRingQuery = 134,
    kLoop = 181,
    kBuffLen = 188,
    kLoadBytes = 189,
    kStoreBytes = 190,
    kLookupPercpu = 195,
};

} // namespace

// -- Maps --

/// A key in a slot: mostly one that exists, sometimes one that does not or cannot.
void FunctionBuilder::put_key(MapId id, int slot) {
    if (id == MapId::Lpm) { // prefix length, then the prefix
        const int data = find(Kind::Scalar, pinned_);
        const int from = rng_.one_in(12) ? 33 : rng_.between(0, 9);
        emit(test::store_imm(op::kW, 10, slot_offset(slot), from));
        if (data >= 0 && rng_.one_in(2)) {
            emit(insn(op::kAlu64 | op::kAnd, data, 0, 0, 3));
            emit(test::store_reg(op::kW, 10, slot_offset(slot) + 4, data));
        } else {
            emit(test::store_imm(op::kW, 10, slot_offset(slot) + 4, rng_.between(0, 3)));
        }
        state_.fill(slot);
        return;
    }
    const MapDef& def = pool_map(id);
    const auto limit = static_cast<int32_t>(std::min(def.max_entries, 8u));
    const int from = find(Kind::Scalar, pinned_);
    if (from >= 0 && rng_.one_in(2)) {
        emit(insn(op::kAlu64 | op::kAnd, from, 0, 0, rng_.one_in(3) ? 15 : 3));
        emit(test::store_reg(op::kDw, 10, slot_offset(slot), from));
    } else {
        emit(test::store_imm(op::kDw, 10, slot_offset(slot), rng_.between(0, limit)));
    }
    state_.fill(slot);
}

void FunctionBuilder::map_call() {
    static constexpr std::array kMaps{MapId::Array,       MapId::Hash,       MapId::Hash, MapId::WideHash,
                                      MapId::PercpuArray, MapId::PercpuHash, MapId::Lpm,  MapId::Lru};
    const MapId id = rng_.pick(kMaps);
    if (rng_.one_in(2)) {
        return lookup(id);
    }
    const bool removes = rng_.one_in(3);
    const int low = init_run(removes ? 1 : 3);
    if (low < 0) {
        return lookup(id);
    }
    draft_.note(Feature::MapHelper);
    put_key(id, low);
    if (id == MapId::Lpm || id == MapId::Lru) {
        draft_.note(Feature::Container);
    }
    // The flags come first: a register that holds them may be one of the arguments'.
    if (!removes) {
        const int flags = find(Kind::Scalar, 1u << 4);
        if (flags >= 0 && rng_.one_in(4)) {
            emit(test::mov_reg(4, flags));
            emit(insn(op::kAlu64 | op::kAnd, 4, 0, 0, rng_.one_in(8) ? 7 : 3));
        } else {
            emit(test::mov(4, rng_.one_in(10)  ? rng_.between(3, 9)
                              : rng_.one_in(2) ? 0
                                               : rng_.between(1, 2)));
        }
        emit(test::mov_reg(3, 10));
        emit(test::add(3, slot_offset(low - 1)));
    }
    emit(test::mov_reg(2, 10));
    emit(test::add(2, slot_offset(low)));
    load_map(1, id);
    emit(test::call(removes ? kDelete : kUpdate));
    forget_caller_saved();
}

void FunctionBuilder::lookup(MapId id) {
    const int slot = free_slot();
    if (slot < 0 || nesting_ >= 3) {
        return alu();
    }
    draft_.note(Feature::MapHelper);
    if (id == MapId::Lpm || id == MapId::Lru) {
        draft_.note(Feature::Container);
    }
    put_key(id, slot);
    const bool of_cpu = (id == MapId::PercpuArray || id == MapId::PercpuHash) && rng_.one_in(2);
    if (of_cpu) {
        emit(test::mov(3, rng_.between(0, 2)));
    }
    emit(test::mov_reg(2, 10));
    emit(test::add(2, slot_offset(slot)));
    load_map(1, id);
    emit(test::call(of_cpu ? kLookupPercpu : kLookup));
    forget_caller_saved();
    set(0, {});
    const auto size = static_cast<int32_t>(pool_map(id).value_size);
    if (may_exit_early()) {
        early_exit(op::kJmp | op::kJeq, 0, 0, 0);
        set(0, {Kind::Value, 0, size});
        return use_value(size);
    }
    const uint32_t over = here();
    emit(insn(op::kJmp | op::kJeq, 0, 0, 0, 0));
    const State missing = state_;
    ++nesting_;
    set(0, {Kind::Value, 0, size});
    use_value(size);
    for (int i = rng_.between(0, 3); i > 0; --i) {
        statement();
    }
    --nesting_;
    land(over);
    state_.meet(missing);
}

/// Reads and writes behind r0, a map value of `size` bytes.
void FunctionBuilder::use_value(int32_t size) {
    const int index = find(Kind::Scalar, pinned_ | 1);
    if (size >= 16 && index >= 0 && rng_.one_in(4)) { // at an offset that only the run knows
        emit(insn(op::kAlu64 | op::kAnd, index, 0, 0, 7));
        const int base = any_target(true, 1u << index | 1);
        emit(test::mov_reg(base, 0));
        emit(insn(op::kAlu64 | op::kAdd | op::kX, base, index, 0, 0));
        set(base, {Kind::Value, 0, size - 7, false});
        return access(base, at(base));
    }
    for (int i = rng_.between(1, 3); i > 0; --i) {
        if (at(0).kind != Kind::Value) {
            return;
        }
        if (rng_.one_in(3)) {
            atomic_at(0, 0, size % 8 == 0 && rng_.one_in(2));
        } else {
            access(0, at(0));
        }
    }
}

// -- Other helpers --

void FunctionBuilder::helper_call() {
    if (context_ < 0) {
        return map_call();
    }
    switch (rng_.below(10)) {
    case 0:
        return context_field();
    case 9:
        return draft_.on_skb() ? packet_load() : context_field();
    case 1:
        if (draft_.on_skb()) {
            return packet_load();
        }
        emit(test::mov_reg(1, context_));
        emit(test::call(kBuffLen));
        draft_.note(Feature::PacketHelper);
        return forget_caller_saved();
    case 2:
    case 3:
        return bytes_call();
    case 4:
        return checksum_call();
    case 5:
        return packet_call();
    case 6:
        return ring_call();
    case 7:
        return tail_call();
    default:
        emit(test::mov(1, rng_.between(0, 3)));
        emit(test::mov(2, rng_.one_in(2) ? 0 : rng_.immediate()));
        emit(test::call(kRedirect));
        return forget_caller_saved();
    }
}

/// Moves a border of the packet; every pointer into it is gone.
void FunctionBuilder::packet_call() {
    if (draft_.on_skb()) {
        return skb_call();
    }
    if (loops_ > 0) {
        return alu();
    }
    static constexpr std::array kHelpers{kAdjustHead, kAdjustMeta, kAdjustTail};
    const int32_t helper = rng_.pick(kHelpers);
    int32_t by = rng_.between(-40, 40);
    by = helper == kAdjustMeta ? by / 4 * 4 : by;
    emit(test::mov(2, rng_.one_in(12) ? rng_.between(-4000, 4000) : by));
    emit(test::mov_reg(1, context_));
    emit(test::call(helper));
    packet_changed();
}

void FunctionBuilder::checksum_call() {
    const int low = init_run(2);
    if (low < 0) {
        return alu();
    }
    const uint32_t kind = rng_.below(3); // a difference, only new bytes, only old bytes
    const int seed = find(Kind::Scalar, 0x1e);
    if (seed >= 0) {
        emit(test::mov_reg(5, seed));
    } else {
        emit(test::mov(5, rng_.immediate()));
    }
    for (int arg : {1, 3}) {
        const bool absent = (arg == 1 && kind == 1) || (arg == 3 && kind == 2);
        if (absent) {
            emit(test::mov(arg, 0));
        } else {
            emit(test::mov_reg(arg, 10));
            emit(test::add(arg, slot_offset(low)));
        }
        emit(test::mov(arg + 1, absent ? 0 : 4 * rng_.between(1, 4)));
    }
    emit(test::call(kCsumDiff));
    forget_caller_saved();
}

/// bpf_xdp_load_bytes and bpf_xdp_store_bytes.
void FunctionBuilder::bytes_call() {
    if (draft_.on_skb()) {
        return skb_bytes();
    }
    const int low = init_run(2);
    if (low < 0) {
        return alu();
    }
    const int offset = find(Kind::Scalar, pinned_);
    if (offset >= 0 && rng_.one_in(2)) {
        emit(insn(op::kAlu64 | op::kAnd, offset, 0, 0, rng_.one_in(2) ? 127 : 31));
        emit(test::mov_reg(2, offset));
    } else {
        emit(test::mov(2, rng_.between(0, 70)));
    }
    emit(test::mov_reg(1, context_));
    emit(test::mov_reg(3, 10));
    emit(test::add(3, slot_offset(low)));
    emit(test::mov(4, rng_.between(1, 16)));
    emit(test::call(rng_.one_in(2) ? kLoadBytes : kStoreBytes));
    draft_.note(Feature::PacketHelper);
    forget_caller_saved();
}

/// Records into the ring buffer, whole or reserved and filled.
void FunctionBuilder::ring_call() {
    draft_.note(Feature::Records);
    if (rng_.one_in(4)) {
        emit(test::mov(2, rng_.between(0, 1))); // the positions (2, 3) depend on earlier cases
        load_map(1, MapId::Ring);
        emit(test::call(kRingQuery));
        return forget_caller_saved();
    }
    if (rng_.one_in(2)) {
        const int low = init_run(2);
        if (low < 0) {
            return alu();
        }
        emit(test::mov_reg(2, 10));
        emit(test::add(2, slot_offset(low)));
        emit(test::mov(3, rng_.between(1, 16)));
        emit(test::mov(4, rng_.one_in(8) ? 4 : rng_.between(0, 2)));
        load_map(1, MapId::Ring);
        emit(test::call(kRingOutput));
        return forget_caller_saved();
    }
    emit(test::mov(2, 16));
    emit(test::mov(3, 0));
    load_map(1, MapId::Ring);
    emit(test::call(kRingReserve));
    forget_caller_saved();
    set(0, {});
    const uint32_t over = here();
    emit(insn(op::kJmp | op::kJeq, 0, 0, 0, 0));
    for (int word = 0; word < 2; ++word) {
        const int from = find(Kind::Scalar);
        emit(from >= 0 ? test::store_reg(op::kDw, 0, 8 * word, from)
                       : test::store_imm(op::kDw, 0, 8 * word, rng_.immediate()));
    }
    emit(test::mov_reg(1, 0));
    emit(test::mov(2, 0));
    emit(test::call(rng_.one_in(3) ? kRingDiscard : kRingSubmit));
    land(over);
    forget_caller_saved();
    set(0, {});
}

/// Slot 0 holds a program, slot 1 none, slot 2 does not exist. Rare: most of them end the program here.
void FunctionBuilder::tail_call() {
    if (role_ != Role::Program || !may_exit_early()) {
        return alu();
    }
    draft_.note(Feature::TailCall);
    const int index = find(Kind::Scalar, pinned_ | 0x6);
    if (index >= 0) {
        emit(insn(op::kAlu64 | op::kAnd, index, 0, 0, 3));
        emit(test::mov_reg(3, index));
    } else {
        emit(test::mov(3, rng_.between(0, 2)));
    }
    load_map(2, MapId::Jumps);
    emit(test::mov_reg(1, context_));
    emit(test::call(kTailCall));
    forget_caller_saved();
    set(0, {});
}

// -- Functions of the program --

void FunctionBuilder::local_call() {
    // The verifier walks a subprogram anew for each call of it.
    if ((role_ != Role::Program && !rng_.one_in(3)) || (draft_.is_long() && calls_ >= 3)) {
        return alu();
    }
    uint32_t callable = 0; // by bit
    for (uint32_t i = index_ + 1; i < draft_.signatures.size(); ++i) {
        const Signature& signature = draft_.signatures[i];
        if (((draft_.callbacks | draft_.each_callbacks) >> i & 1) == 0 &&
            !(context_ < 0 && signature.has(Kind::Context)) && !(signature.moves_packet && loops_ > 0) &&
            !(slots_ < 2 && signature.has(Kind::Words))) {
            callable |= 1u << i;
        }
    }
    if (callable == 0) {
        return alu();
    }
    const auto callee =
        static_cast<uint32_t>(bit_of(callable, rng_.below(static_cast<uint32_t>(std::popcount(callable)))));
    const Signature& signature = draft_.signatures[callee];
    int low = -1;
    if (signature.has(Kind::Words)) {
        low = init_run(2);
        if (low < 0) {
            return alu();
        }
    }
    draft_.note(Feature::LocalCall);
    ++calls_;
    for (size_t i = 0; i < signature.args.size() && signature.args[i] != Kind::None; ++i) {
        const int reg = static_cast<int>(i) + 1;
        if (signature.args[i] == Kind::Context) {
            emit(test::mov_reg(reg, context_));
        } else if (signature.args[i] == Kind::Words) {
            emit(test::mov_reg(reg, 10));
            emit(test::add(reg, slot_offset(low)));
        } else if (const int from = find(Kind::Scalar, (1u << reg) - 1); from >= 0 && !rng_.one_in(4)) {
            emit(test::mov_reg(reg, from));
        } else {
            emit_wide(reg, 0, rng_.operand());
        }
        set(reg, {});
    }
    function_.relocs.push_back({here(), RelocKind::Call, callee, 0});
    emit(insn(op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1));
    forget_caller_saved();
    if (signature.moves_packet) {
        draft_.signatures[index_].moves_packet = true;
        forget_packet();
    }
}

void FunctionBuilder::loop_call() {
    if (role_ != Role::Program || draft_.callbacks == 0 || loops_ > 0 || rng_.one_in(2)) {
        return alu();
    }
    uint32_t callee = 0;
    while ((draft_.callbacks >> callee & 1) == 0) {
        ++callee;
    }
    const int low = init_run(2);
    if (low < 0) {
        return alu();
    }
    draft_.note(Feature::Callback);
    draft_.note(Feature::Loop);
    const int count = find(Kind::Scalar, pinned_ | 0x1e);
    if (count >= 0 && rng_.one_in(2)) {
        emit(insn(op::kAlu64 | op::kAnd, count, 0, 0, 7));
        emit(test::mov_reg(1, count));
    } else {
        emit(test::mov(1, rng_.between(0, 9)));
    }
    function_.relocs.push_back({here(), RelocKind::FuncAddress, callee, 0});
    emit_wide(2, op::kFunc, 0);
    emit(test::mov_reg(3, 10));
    emit(test::add(3, slot_offset(low)));
    emit(test::mov(4, rng_.one_in(12) ? 1 : 0));
    emit(test::call(kLoop));
    forget_caller_saved();
}

} // namespace mimicsh::difffuzz
