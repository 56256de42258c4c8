// SPDX-License-Identifier: MIT
// One function under construction: the statements that keep it well-typed.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "tests/difffuzz/generate.h"
#include "tests/difffuzz/rng.h"
#include "tests/difffuzz/state.h"
#include "tests/unit/vm/raw.h"

namespace mimicsh::difffuzz {

/// What a subprogram takes in r1 and onwards.
struct Signature {
    std::array<Kind, 5> args{}; ///< None behind the last; Scalar, Context or Words (two of them)
    bool moves_packet = false;
    [[nodiscard]] bool has(Kind kind) const { return std::ranges::find(args, kind) != args.end(); }
};

/// What the functions of one program share.
struct Draft {
    Rng rng;
    Shape shape;
    Case& result;
    std::vector<Signature> signatures{}; ///< by function index; 0 is the program itself
    uint32_t callbacks = 0;              ///< bit by function index: of bpf_loop, not callable otherwise
    uint32_t each_callbacks = 0;         ///< the same of bpf_for_each_map_elem
    uint32_t input_sites = 0;            ///< calls that differ by nature
    uint32_t iterators = 0;

    uint32_t map_index(MapId id);
    uint32_t extern_index(const char* kfunc);
    [[nodiscard]] bool on_skb() const { return result.type == abi::ProgType::SchedCls; }
    /// Long programs: what the verifier walks more than once is rarer.
    [[nodiscard]] bool is_long() const { return length >= 300; }
    uint32_t length = 0; ///< wanted, of the whole program
    void note(Feature feature) { result.features[static_cast<size_t>(feature)] = true; }
};

class FunctionBuilder {
  public:
    enum class Role : uint8_t { Program, Subprogram, Callback, EachCallback };

    FunctionBuilder(Draft& draft, Role role, uint32_t index);
    /// Generates about `length` slots and puts the function into the object.
    void build(uint32_t length);

  private:
    // -- Emitting (function_builder.cpp) --
    void emit(Insn insn) { function_.insns.push_back(insn); }
    void emit_wide(int dst, int pseudo, uint64_t value);
    void load_map(int dst, MapId id);
    void load_out(int dst, uint32_t offset);
    void load_text(int dst, uint32_t offset);
    void call_kfunc(const char* name);
    void stack_argument(int dst, int slot);
    [[nodiscard]] uint32_t here() const { return static_cast<uint32_t>(function_.insns.size()); }
    void land(uint32_t jump);
    [[nodiscard]] bool full() const { return here() >= limit_; }
    void begin();
    void finish();
    void finish_program();
    [[nodiscard]] bool may_exit_early();
    void early_exit(int jump_code, int dst, int src, int32_t imm);
    void early_exits();

    // -- Registers --
    [[nodiscard]] uint32_t writable(bool for_pointer) const;
    [[nodiscard]] bool writable(int reg, bool for_pointer = false) const {
        return (writable(for_pointer) >> reg & 1) != 0;
    }
    [[nodiscard]] int any_target(bool for_pointer = false, uint32_t without = 0);
    [[nodiscard]] int find(Kind kind, uint32_t without = 0);
    [[nodiscard]] int scalar();
    void set(int reg, const Place& place) { state_.set(reg, place); }
    [[nodiscard]] const Place& at(int reg) const { return state_.at(reg); }
    void forget_caller_saved();
    void forget_packet() { state_.forget_packet(); }

    // -- Statements --
    void statement();
    void alu();
    void move();
    void divide(int dst, bool wide);
    void unary(int dst, bool wide);
    void branch();
    void compare(int dst);
    void loop();
    void may_goto_loop();
    void prepare_loop();

    // -- Memory (statements_memory.cpp) --
    void stack_access();
    void stack_variable();
    void spill();
    void packet_check();
    void guard_packet(int limit, int end, const std::array<std::pair<int, Place>, 3>& proven);
    void packet_variable();
    void memory_access();
    void access(int base, Place place);
    void out_access();
    void either_access();
    void atomic();
    void atomic_at(int base, int32_t offset, bool wide);
    void packet_length();
    [[nodiscard]] int slot_of_numbers(uint8_t mask);
    [[nodiscard]] int free_slot();
    [[nodiscard]] uint32_t own_slots() const { return (1u << slots_) - 1; }
    /// Slots that must stay as they are, by bit: in a loop its head knows of pointers.
    [[nodiscard]] uint32_t not_free() const { return state_.busy() | (loops_ > 0 ? state_.spilled() : 0); }
    void init_slot(int slot);
    [[nodiscard]] int init_run(int count);

    // -- Socket buffers (statements_skb.cpp) --
    void context_field();
    void skb_call();
    void skb_bytes();
    void skb_checksum();
    void skb_room();
    void packet_load();
    void packet_changed();

    // -- More kinds of maps (statements_maps.cpp) --
    void container_call();
    void nested_lookup();
    void each_call();
    void lock_call();

    // -- Texts, dynptrs, iterators, sections, inputs (statements_more.cpp) --
    void text_call();
    void format_call();
    void dynptr_call();
    void dynptr_access(int dynptr, int32_t size, bool may_write);
    void iterator_loop();
    void straight_statement();
    void section();
    void input_call();
    void more_call();

    // -- Calls (statements_calls.cpp) --
    void map_call();
    void lookup(MapId id);
    void put_key(MapId id, int slot);
    void use_value(int32_t size);
    void helper_call();
    void packet_call();
    void checksum_call();
    void bytes_call();
    void local_call();
    void loop_call();
    void ring_call();
    void tail_call();

    // Offsets of data and data_end in the context.
    [[nodiscard]] int data_field() const { return draft_.on_skb() ? 76 : 0; }
    [[nodiscard]] int end_field() const { return draft_.on_skb() ? 80 : 4; }
    static int slot_offset(int slot) { return -8 * (slot + 1); }

    Draft& draft_;
    Rng& rng_;
    Role role_;
    uint32_t index_;
    Function function_;
    State state_;
    int slots_ = 0;       ///< words of stack in use
    int context_ = -1;    ///< register that keeps the context, -1 = none
    uint32_t pinned_ = 0; ///< registers that must keep their value, by bit
    uint32_t limit_ = 0;
    uint32_t nesting_ = 0;
    uint32_t loops_ = 0;
    uint32_t calls_ = 0;          ///< of subprograms
    uint32_t held_ = 0;           ///< what has to be given back before the function may end
    std::vector<uint32_t> exits_; ///< jumps to the early exit
};

} // namespace mimicsh::difffuzz
