// SPDX-License-Identifier: MIT
// Calls in the flow of kinds: what helpers, kernel functions and local functions leave behind.
#include <algorithm>

#include "vm/analysis_flow.h"

namespace mimicsh::vm::flow {

void Flow::call_clobbers(State& state) {
    for (size_t reg = 1; reg <= 5; ++reg) {
        state.regs[reg] = {};
    }
}

bool Flow::passes_stack(const State& state) {
    return std::any_of(state.regs.begin() + 1, state.regs.begin() + 6,
                       [](Value value) { return value.kind == Kind::Stack; });
}

void Flow::call_helper(uint32_t slot, const Insn& insn, State& state) {
    SlotFacts& facts = result_.slots[slot];
    facts.target =
        state.regs[1].kind == Kind::MapObject ? SlotFacts::Target::Map : SlotFacts::Target::Unknown;
    facts.value = state.regs[1].value;
    const auto id = static_cast<uint32_t>(insn.imm);
    constexpr uint32_t kLookup = 1, kUpdate = 2, kDelete = 3, kTimerSetCallback = 170;
    if (id == kTimerSetCallback) {
        note_async(state.regs[2]);
    }
    const bool only_reads = id == kLookup || id == kUpdate || id == kDelete;
    if (passes_stack(state) && !only_reads) {
        if (has_callbacks_ &&
            std::ranges::any_of(state.spills(), [](Value v) { return may_be_end(v.kind); })) {
            result_.tracks_bounds = false;
        }
        for (Value& spill : state.spills()) {
            if (!may_be_end(spill.kind)) {
                spill = {Kind::Unknown, 0};
            }
        }
    }
    call_clobbers(state);
    set(state.regs[0], {own_.contains(id) ? Kind::Unknown : returned(id), 0});
}

void Flow::call_kfunc(uint32_t slot, State& state) {
    if (refs_[slot] != nullptr) {
        const std::string& name = program_.object->externs[refs_[slot]->target].name;
        if (name == "bpf_wq_set_callback_impl") {
            note_async(state.regs[2]);
        }
    }
    call_clobbers(state);
    set(state.regs[0], {Kind::Unknown, 0});
}

/// The function of a callback argument does not run below its caller.
void Flow::note_async(Value callback) {
    if (finished_ && callback.kind == Kind::Callback && callback.value > 0) {
        result_.async_callbacks.push_back(static_cast<uint32_t>(callback.value));
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
    case 194: // kptr_xchg
    case 203: // dynptr_data
    case 210: // cgrp_storage_get
        return Kind::Unknown;
    default:
        return (id >= 136 && id <= 140) || id == 178 || id == 196 ? Kind::Unknown // skc_to_*
                                                                  : Kind::Scalar;
    }
}

void Flow::call_local(uint32_t slot, const Insn& insn, State& state) {
    State entry;
    for (size_t reg = 1; reg <= 5; ++reg) {
        entry.regs[reg] = state.regs[reg];
        if (entry.regs[reg].kind == Kind::Stack || entry.regs[reg].kind == Kind::MapObject) {
            entry.regs[reg] = {Kind::Unknown, 0};
        }
    }
    if (passes_stack(state)) {
        forget_spills(state);
    }
    enter_function(static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm), entry);
    call_clobbers(state);
    set(state.regs[0], {Kind::Unknown, 0});
}

} // namespace mimicsh::vm::flow
