// SPDX-License-Identifier: MIT
// Statements with texts, dynptrs, iterators, sections, and calls that differ by nature.
#include <algorithm>

#include "tests/difffuzz/function_builder.h"

namespace mimicsh::difffuzz {

using test::insn;

namespace {

enum Helper : int32_t {
    kStrtol = 105,
    kStrtoul = 106,
    kSnprintf = 165,
    kStrncmp = 182,
    kFromMem = 197,
    kReserve = 198,
    kSubmit = 199,
    kDiscard = 200,
    kRead = 201,
    kWrite = 202,
    kData = 203,
};

/// Eight characters each, some numbers among them.
constexpr std::array kTexts{"12345678", "-0x7f\0\0", "0777  9\0", "  +42\n\0",
                            "zzzzzzzz", "99999999",  "ffffffff"};

} // namespace

void FunctionBuilder::more_call() {
    if (draft_.each_callbacks != 0 && rng_.one_in(4)) {
        return each_call();
    }
    switch (rng_.below(14)) {
    case 0:
    case 1:
        return container_call();
    case 2:
        return nested_lookup();
    case 3:
    case 4:
        return each_call();
    case 5:
        return lock_call();
    case 6:
        return text_call();
    case 7:
        return format_call();
    case 8:
    case 9:
        return dynptr_call();
    case 10:
        return iterator_loop();
    case 11:
        return section();
    default:
        return input_call();
    }
}

// -- Texts --

void FunctionBuilder::text_call() {
    const int low = init_run(3);
    if (low < 0) {
        return alu();
    }
    draft_.note(Feature::Text);
    uint64_t text = 0;
    std::copy_n(rng_.pick(kTexts), 8, reinterpret_cast<char*>(&text));
    const int from = find(Kind::Scalar, 0x3e);
    if (rng_.one_in(4) && from >= 0) {
        emit(test::store_reg(op::kDw, 10, slot_offset(low), from));
    } else {
        emit_wide(1, 0, text);
        set(1, {});
        emit(test::store_reg(op::kDw, 10, slot_offset(low), 1));
    }
    stack_argument(1, low);
    emit(test::mov(2, rng_.between(1, 16)));
    if (rng_.one_in(3)) {
        load_text(3, kTextWord);
        emit(test::call(kStrncmp));
    } else {
        emit(test::mov(3, rng_.one_in(8) ? rng_.between(1, 40) : rng_.pick(std::array{0, 8, 10, 16})));
        stack_argument(4, low - 2);
        emit(test::call(rng_.one_in(2) ? kStrtol : kStrtoul));
    }
    forget_caller_saved();
}

void FunctionBuilder::format_call() {
    const int low = init_run(4);
    if (low < 0) {
        return text_call();
    }
    draft_.note(Feature::Text);
    const Format& format = rng_.pick(formats());
    load_text(3, format.offset);
    stack_argument(1, low);
    emit(test::mov(2, rng_.one_in(8) ? 0 : rng_.between(1, 16)));
    stack_argument(4, low - 2);
    emit(test::mov(5, 8 * static_cast<int32_t>(format.numbers)));
    emit(test::call(kSnprintf));
    forget_caller_saved();
}

// -- Dynptrs --

/// Reads from and writes to the dynptr in a slot.
void FunctionBuilder::dynptr_access(int dynptr, int32_t size, bool may_write) {
    const int offset = find(Kind::Scalar, pinned_ | 0x3e);
    const auto place = [&](int reg) {
        if (offset >= 0 && rng_.one_in(2)) {
            emit(insn(op::kAlu64 | op::kAnd, offset, 0, 0, 15));
            emit(test::mov_reg(reg, offset));
        } else {
            emit(test::mov(reg, rng_.between(0, size)));
        }
    };
    for (int i = rng_.between(1, 2); i > 0; --i) {
        const int buffer = init_run(1);
        if (buffer < 0) {
            return;
        }
        const int32_t length = rng_.between(1, 8);
        if (may_write && rng_.one_in(2)) {
            place(2);
            stack_argument(1, dynptr);
            stack_argument(3, buffer);
            emit(test::mov(4, length));
            emit(test::mov(5, rng_.one_in(12) ? 1 : 0));
            emit(test::call(kWrite));
        } else {
            place(4);
            stack_argument(1, buffer);
            emit(test::mov(2, length));
            stack_argument(3, dynptr);
            emit(test::mov(5, rng_.one_in(12) ? 1 : 0));
            emit(test::call(kRead));
        }
        forget_caller_saved();
    }
}

void FunctionBuilder::dynptr_call() {
    const int low = init_run(2);
    if (low < 0) {
        return alu();
    }
    const auto mark = [&](bool busy) {
        for (int slot : {low, low - 1}) {
            state_.set_busy(slot, busy);
        }
    };
    draft_.note(Feature::Dynptr);
    const uint32_t kind = rng_.below(4);
    if (kind == 0 && held_ == 0) { // a record
        const int words = rng_.between(1, 3);
        const int buffer = slots_ > 3 ? (low + 1 < slots_ ? low + 1 : 0) : -1;
        if (buffer < 0 || (not_free() >> buffer & 1) != 0) {
            return alu();
        }
        init_slot(buffer);
        emit(test::mov(2, 8 * words));
        emit(test::mov(3, 0));
        stack_argument(4, low);
        load_map(1, MapId::Ring);
        emit(test::call(kReserve));
        forget_caller_saved();
        mark(true);
        for (int word = 0; word < words; ++word) { // a fresh record holds what was there before
            stack_argument(1, low);
            emit(test::mov(2, 8 * word));
            stack_argument(3, buffer);
            emit(test::mov(4, 8));
            emit(test::mov(5, 0));
            emit(test::call(kWrite));
            forget_caller_saved();
        }
        dynptr_access(low, 24, true);
        stack_argument(1, low);
        emit(test::mov(2, 0));
        emit(test::call(rng_.one_in(3) ? kDiscard : kSubmit));
        draft_.note(Feature::Records);
    } else if (kind == 1 && context_ >= 0) { // the packet
        const bool writes = loops_ == 0;
        emit(test::mov_reg(1, context_));
        emit(test::mov(2, 0));
        stack_argument(3, low);
        call_kfunc(draft_.on_skb() ? "bpf_dynptr_from_skb" : "bpf_dynptr_from_xdp");
        forget_caller_saved();
        mark(true);
        dynptr_access(low, 70, writes);
        if (writes) {
            packet_changed();
        }
    } else { // a map's value
        const auto word = static_cast<int32_t>(rng_.below(10));
        load_out(1, kOutInput + 8 * static_cast<uint32_t>(word));
        emit(test::mov(2, rng_.between(1, 16)));
        emit(test::mov(3, rng_.one_in(12) ? 1 : 0));
        stack_argument(4, low);
        emit(test::call(kFromMem));
        forget_caller_saved();
        mark(true);
        dynptr_access(low, 18, true);
        if (nesting_ < 3) {
            const int32_t length = rng_.between(1, 8);
            emit(test::mov(2, rng_.between(0, 8)));
            emit(test::mov(3, length));
            stack_argument(1, low);
            emit(test::call(kData));
            forget_caller_saved();
            set(0, {});
            const uint32_t over = here();
            emit(insn(op::kJmp | op::kJeq, 0, 0, 0, 0));
            const State missing = state_;
            ++nesting_;
            set(0, {Kind::Value, 0, length, false});
            access(0, at(0));
            --nesting_;
            land(over);
            state_.meet(missing);
        }
    }
    forget_caller_saved();
    set(0, {});
    mark(false);
    init_slot(low);
    init_slot(low - 1);
}

// -- Iterators and sections --

/// bpf_iter_num: a loop that the verifier follows until its states repeat.
void FunctionBuilder::iterator_loop() {
    const bool enough = draft_.is_long() && (draft_.iterators > 0 || !rng_.one_in(16));
    const int slot = loops_ == 0 && nesting_ < 2 && held_ == 0 && !enough ? init_run(1) : -1;
    if (slot < 0) {
        return may_goto_loop();
    }
    ++draft_.iterators;
    draft_.note(Feature::Iterator);
    draft_.note(Feature::Loop);
    const int end = find(Kind::Scalar, pinned_ | 0x6);
    if (end >= 0 && rng_.one_in(2)) {
        emit(insn(op::kAlu64 | op::kAnd, end, 0, 0, 7));
        emit(test::mov_reg(3, end));
    } else {
        emit(test::mov(3, rng_.one_in(10) ? -1 : rng_.between(0, 9)));
    }
    emit(test::mov(2, rng_.between(0, 2)));
    stack_argument(1, slot);
    call_kfunc("bpf_iter_num_new");
    prepare_loop();
    state_.set_busy(slot, true);
    ++loops_;
    ++nesting_;
    ++held_;
    const uint32_t head = here();
    stack_argument(1, slot);
    call_kfunc("bpf_iter_num_next");
    const State at_head = state_;
    const uint32_t out = here();
    emit(insn(op::kJmp | op::kJeq, 0, 0, 0, 0));
    const int to = rng_.between(0, 5);
    emit(test::load(op::kW, to, 0, 0));
    set(to, {Kind::Scalar});
    for (int i = rng_.between(1, 4); i > 0; --i) {
        straight_statement();
    }
    emit(test::jump(static_cast<int>(head) - static_cast<int>(here()) - 1));
    land(out);
    --held_;
    --nesting_;
    --loops_;
    state_ = at_head;
    stack_argument(1, slot);
    call_kfunc("bpf_iter_num_destroy");
    forget_caller_saved();
    set(0, {});
    state_.set_busy(slot, false);
    init_slot(slot);
}

/// One that has no way around it.
void FunctionBuilder::straight_statement() {
    static constexpr std::array kChoices{&FunctionBuilder::alu,        &FunctionBuilder::move,
                                         &FunctionBuilder::alu,        &FunctionBuilder::stack_access,
                                         &FunctionBuilder::atomic,     &FunctionBuilder::out_access,
                                         &FunctionBuilder::input_call, &FunctionBuilder::container_call};
    (this->*rng_.pick(kChoices))();
}

/// Statements between the two ends of a section.
void FunctionBuilder::section() {
    const bool rcu = rng_.one_in(2);
    if (nesting_ >= 2 || held_ > 0) {
        return alu();
    }
    draft_.note(Feature::Section);
    const auto end = [&](const char* name) {
        call_kfunc(name);
        forget_caller_saved();
        set(0, {});
    };
    end(rcu ? "bpf_rcu_read_lock" : "bpf_preempt_disable");
    ++held_;
    ++nesting_;
    for (int i = rng_.between(1, 3); i > 0; --i) {
        statement();
    }
    --nesting_;
    --held_;
    end(rcu ? "bpf_rcu_read_unlock" : "bpf_preempt_enable");
}

// -- Inputs that differ by nature --

void FunctionBuilder::input_call() {
    if (draft_.input_sites >= kInputSites) {
        return alu();
    }
    static constexpr std::array kCalls{5, 7, 8, 118, 125, 160, 208};
    ++draft_.input_sites;
    draft_.note(Feature::NaturalInput);
    emit(test::call(rng_.pick(kCalls)));
    forget_caller_saved();
}

} // namespace mimicsh::difffuzz
