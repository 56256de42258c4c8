// SPDX-License-Identifier: MIT
// Calls in the flow of kinds: what helpers, kernel functions and local functions leave behind.
#include <algorithm>
#include <array>

#include "vm/analysis_flow.h"

namespace mimicsh::vm::flow {

namespace {

constexpr uint32_t kLookup = 1, kUpdate = 2, kDelete = 3, kTailCall = 12, kSpinLock = 93, kSpinUnlock = 94,
                   kTimerSetCallback = 170;
constexpr std::string_view kResilientLock = "bpf_res_spin_";

/// Helpers whose result the program has to give back.
constexpr std::array<uint32_t, 6> kAcquiring{84, 85, 99, 131, 194, 198};

/// Arguments of helpers that must not be NULL, by id and register: sockets, records, locks, keys, values and
/// data.
struct Argument {
    uint32_t helper = 0;
    uint8_t reg = 0;
};
constexpr std::array kTakesChecked{
    Argument{1, 2},   Argument{2, 2},   Argument{2, 3},   Argument{3, 2},   Argument{9, 3},
    Argument{25, 4},  Argument{26, 3},  Argument{86, 1},  Argument{93, 1},  Argument{94, 1},
    Argument{95, 1},  Argument{96, 1},  Argument{98, 1},  Argument{107, 2}, Argument{108, 2},
    Argument{130, 2}, Argument{132, 1}, Argument{133, 1}, Argument{136, 1}, Argument{137, 1},
    Argument{138, 1}, Argument{139, 1}, Argument{140, 1}, Argument{178, 1}, Argument{189, 3},
    Argument{190, 3}, Argument{196, 1},
};

/// What may be called with a lock held (kfunc_spin_allowed in kernel/bpf/verifier.c).
constexpr std::array<std::string_view, 20> kUnderLock{
    "bpf_iter_num_new",
    "bpf_iter_num_next",
    "bpf_iter_num_destroy",
    "bpf_list_push_front_impl",
    "bpf_list_push_back_impl",
    "bpf_list_pop_front",
    "bpf_list_pop_back",
    "bpf_list_front",
    "bpf_list_back",
    "bpf_rbtree_add_impl",
    "bpf_rbtree_remove",
    "bpf_rbtree_first",
    "bpf_rbtree_root",
    "bpf_rbtree_left",
    "bpf_rbtree_right",
    "bpf_refcount_acquire_impl",
    "bpf_res_spin_lock",
    "bpf_res_spin_unlock",
    "bpf_res_spin_lock_irqsave",
    "bpf_res_spin_unlock_irqrestore",
};

/// Kernel functions whose result has to be compared with NULL (KF_RET_NULL). Of bpf_refcount_acquire_impl
/// that depends on what it is given.
constexpr std::array<std::string_view, 21> kMayReturnNull{
    "bpf_dynptr_slice",       "bpf_dynptr_slice_rdwr",   "bpf_iter_num_next",  "bpf_iter_bits_next",
    "bpf_obj_new_impl",       "bpf_percpu_obj_new_impl", "bpf_list_pop_front", "bpf_list_pop_back",
    "bpf_list_front",         "bpf_list_back",           "bpf_rbtree_remove",  "bpf_rbtree_first",
    "bpf_rbtree_root",        "bpf_rbtree_left",         "bpf_rbtree_right",   "bpf_xdp_ct_alloc",
    "bpf_xdp_ct_lookup",      "bpf_skb_ct_alloc",        "bpf_skb_ct_lookup",  "bpf_ct_insert_entry",
    "bpf_xdp_get_xfrm_state",
};

bool allowed_under_lock(std::string_view kfunc) {
    return std::ranges::find(kUnderLock, kfunc) != kUnderLock.end();
}

} // namespace

// -- Locks --

void Flow::note_locking(uint32_t slot, const InsnForm& form) {
    const bool helper = form.kind == InsnKind::CallHelper;
    const auto id = static_cast<uint32_t>(insns_[slot].imm);
    const bool resilient = !helper && kfunc_name(slot).starts_with(kResilientLock);
    if (resilient || (helper && (id == kSpinLock || id == kSpinUnlock))) {
        locks_ = true;
        resilient_locks_ |= resilient;
        subprograms_lock_ |= program_.function_at(slot) != 0;
    }
    opens_ |= !helper || std::ranges::find(kAcquiring, id) != kAcquiring.end();
}

/// Name of the kernel function that is called, empty when the object names none.
const std::string& Flow::kfunc_name(uint32_t slot) const {
    static const std::string kNone;
    return refs_[slot] != nullptr ? program_.object->externs[refs_[slot]->target].name : kNone;
}

void Flow::want_no_lock(uint32_t slot, const State& state, std::string_view prefix, std::string_view name) {
    result_.slots[slot].guard = state.lock == Lock::Free ? SlotFacts::Guard::None : SlotFacts::Guard::NoLock;
    if (state.lock == Lock::Held) {
        refuse(slot, std::string(prefix).append(name) + " is called while a lock is held");
    }
}

void Flow::want_nothing_open(uint32_t slot, const State& state, std::string_view name) {
    result_.slots[slot].guard = opens_ ? SlotFacts::Guard::NothingOpen : SlotFacts::Guard::None;
    if (state.lock == Lock::Held) {
        refuse(slot, std::string(name) + " while a lock is held");
    }
}

void Flow::check_helper_under_lock(uint32_t slot, uint32_t id, State& state) {
    if (id == kSpinUnlock) {
        state.lock = resilient_locks_ ? Lock::Maybe : Lock::Free;
        return;
    }
    if (id == kTailCall) {
        want_nothing_open(slot, state, "bpf_tail_call");
        return;
    }
    want_no_lock(slot, state, "bpf_", abi::helper_name(id));
    if (id == kSpinLock) {
        state.lock = Lock::Held;
    }
}

void Flow::call_clobbers(State& state) {
    for (size_t reg = 1; reg <= 5; ++reg) {
        state.regs[reg] = {};
    }
}

bool Flow::passes_stack(const State& state) {
    return std::any_of(state.regs.begin() + 1, state.regs.begin() + 6,
                       [](Value value) { return value.kind == Kind::Stack; });
}

/// What may write to the caller's stack leaves spills behind of which nothing is known.
void Flow::hand_over_stack(State& state) {
    if (!passes_stack(state)) {
        return;
    }
    // A callback gets at the caller's stack through its context argument; what was spilled there may be
    // data_end.
    if (has_callbacks_ && std::ranges::any_of(state.spills(), [](Value v) { return may_be_end(v.kind); })) {
        current_->loses_bounds = true;
    }
    for (Value& spill : state.spills()) {
        if (!may_be_end(spill.kind)) {
            spill = {Kind::Unknown, 0};
        }
    }
}

void Flow::call_helper(uint32_t slot, const Insn& insn, State& state) {
    SlotFacts& facts = result_.slots[slot];
    facts.target =
        state.regs[1].kind == Kind::MapObject ? SlotFacts::Target::Map : SlotFacts::Target::Unknown;
    facts.value = state.regs[1].value;
    const auto id = static_cast<uint32_t>(insn.imm);
    if (!own_.contains(id)) {
        check_helper_under_lock(slot, id, state);
    }
    if (id == kTimerSetCallback) {
        note_async(state.regs[2]);
    }
    if (facts.guard == SlotFacts::Guard::None || facts.guard == SlotFacts::Guard::NotNull) {
        facts.guard = SlotFacts::Guard::None;
        const auto unchecked = std::ranges::find_if(kTakesChecked, [&](const Argument& one) {
            return one.helper == id && state.regs[one.reg].kind == Kind::MaybeNull;
        });
        if (unchecked != kTakesChecked.end() && !own_.contains(id)) {
            want_not_null(slot, unchecked->reg, state);
        }
    }
    const Value result = own_.contains(id)                    ? Value{Kind::Unknown, 0}
                         : may_return_null(id, state.regs[1]) ? maybe_null(slot)
                                                              : Value{returned(id), 0};
    const bool only_reads = id == kLookup || id == kUpdate || id == kDelete;
    if (!only_reads) {
        hand_over_stack(state);
    }
    call_clobbers(state);
    set(state.regs[0], result);
}

void Flow::call_kfunc(uint32_t slot, State& state) {
    const std::string& name = kfunc_name(slot);
    if (name == "bpf_wq_set_callback_impl") {
        note_async(state.regs[2]);
        if (state.regs[2].kind == Kind::Callback) {
            works_.push_back(static_cast<uint32_t>(state.regs[2].value));
        }
    }
    if (name.starts_with("bpf_arena_")) {
        sleeps_at_.push_back(slot);
    }
    if (!allowed_under_lock(name)) {
        want_no_lock(slot, state, "", name);
    } else if (name.starts_with(kResilientLock)) {
        state.lock = Lock::Maybe;
    }
    if (const Value first = state.regs[1]; name.starts_with("bpf_iter_") && first.kind == Kind::Stack &&
                                           first.value >= 0 && first.value + 16 <= int32_t{abi::kStackSize}) {
        for (int32_t byte = 0; byte < 16; byte += 8) { // of an iterator
            state.set_spill(static_cast<uint32_t>(first.value + byte) / 8, {Kind::Unknown, 0});
        }
    } else {
        hand_over_stack(state);
    }
    call_clobbers(state);
    const bool may_be_null = std::ranges::find(kMayReturnNull, name) != kMayReturnNull.end();
    set(state.regs[0], may_be_null ? maybe_null(slot) : Value{Kind::Unknown, 0});
}

/// Programs on packets must not sleep; the functions of work queues may. What a function calls, or hands on
/// as a callback, sleeps as it does.
void Flow::check_sleeping() {
    std::vector<bool> awake(program_.functions.size());
    std::vector<uint32_t> open{0};
    const auto begins_at = [&](int64_t slot) { return program_.function_at(static_cast<uint32_t>(slot)); };
    while (!open.empty()) {
        const uint32_t function = open.back();
        open.pop_back();
        if (awake[function]) {
            continue;
        }
        awake[function] = true;
        for (uint32_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
            const InsnForm* form = result_.forms[slot];
            const bool leads =
                form != nullptr && (form->kind == InsnKind::CallLocal || form->kind == InsnKind::LoadImm64);
            const auto to = leads && begins_at(slot) == function ? target(slot) : std::nullopt;
            if (to && std::ranges::find(works_, static_cast<uint32_t>(*to)) == works_.end()) {
                open.push_back(begins_at(*to));
            }
        }
    }
    for (const uint32_t slot : sleeps_at_) {
        if (awake[program_.function_at(slot)] && !result_.refusal) {
            result_.refusal = Refusal{slot, kfunc_name(slot) + " may sleep, which programs on packets must "
                                                               "not; call it in the function of a bpf_wq"};
        }
    }
}

/// The function of a callback argument does not run below its caller.
void Flow::note_async(Value callback) {
    if (callback.kind == Kind::Callback && callback.value > 0) {
        current_->async_callbacks.push_back(static_cast<uint32_t>(callback.value));
    }
}

/// What a helper returns, by id.
Kind Flow::returned(uint32_t id) {
    switch (id) {
    case 1:   // map_lookup_elem
    case 195: // map_lookup_percpu_elem
        return Kind::MapValue;
    case 81:  // get_local_storage
    case 84:  // sk_lookup_tcp
    case 85:  // sk_lookup_udp
    case 95:  // sk_fullsock
    case 96:  // tcp_sock
    case 98:  // get_listener_sock
    case 99:  // skc_lookup_tcp
    case 107: // sk_storage_get
    case 131: // ringbuf_reserve
    case 153: // per_cpu_ptr
    case 154: // this_cpu_ptr
    case 156: // task_storage_get
    case 158: // get_current_task_btf
    case 175: // task_pt_regs
    case 194: // kptr_xchg
    case 203: // dynptr_data
    case 210: // cgrp_storage_get
        return Kind::Unknown;
    default:
        return (id >= 136 && id <= 140) || id == 178 || id == 196 ? Kind::Unknown // skc_to_*
                                                                  : Kind::Scalar;
    }
}

/// Whether a helper's result has to be compared with NULL before it is used. Of arrays the kernel knows that
/// a constant key is there (get_constant_map_key in kernel/bpf/verifier.c), so they do not count.
bool Flow::may_return_null(uint32_t id, Value map) const {
    switch (id) {
    case 1:
    case 195: {
        if (map.kind != Kind::MapObject) {
            return false;
        }
        const abi::MapType type = program_.object->maps[static_cast<size_t>(map.value)].type;
        return type != abi::MapType::Array && type != abi::MapType::PercpuArray;
    }
    case 84:
    case 85:
    case 95:
    case 96:
    case 98:
    case 99:
    case 107:
    case 131:
    case 153:
    case 156:
    case 194:
    case 203:
    case 210:
        return true;
    default:
        return (id >= 136 && id <= 140) || id == 178 || id == 196; // skc_to_*
    }
}

void Flow::call_local(uint32_t slot, State& state) {
    // Whether the function compares what it is given with NULL is not followed.
    state.for_each([&](Value& value) { value = checked(value); });
    State entry;
    entry.lock = state.lock;
    for (size_t reg = 1; reg <= 5; ++reg) {
        entry.regs[reg] = state.regs[reg];
        if (entry.regs[reg].kind == Kind::Stack || entry.regs[reg].kind == Kind::MapObject) {
            entry.regs[reg] = {Kind::Unknown, 0};
        }
    }
    if (passes_stack(state)) {
        forget_spills(state);
    }
    enter_function(static_cast<uint32_t>(*target(slot)), entry);
    if (subprograms_lock_) {
        state.lock = Lock::Maybe;
    }
    call_clobbers(state);
    set(state.regs[0], {Kind::Unknown, 0});
}

} // namespace mimicsh::vm::flow
