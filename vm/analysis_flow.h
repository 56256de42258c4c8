// SPDX-License-Identifier: MIT
// The data flow behind `analyse`: one walk over a program's instructions, by subject in analysis*.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "object/insn.h"
#include "object/linker.h"
#include "vm/analysis.h"
#include "vm/analysis_constants.h"
#include "vm/analysis_state.h"
#include "vm/context/context.h"

namespace mimicsh::vm::flow {

/// Instructions from one where ways meet, or a function begins, up to the next such place.
struct Block {
    uint32_t slot = 0; ///< of the first instruction
    bool reached = false;
    bool queued = false;
    // What the last walk said. A block is walked again whenever its entry state changes, so once all states
    // stand still this is what holds; on the way there it may be too certain.
    bool loses_bounds = false; ///< data_end was used in a way that is not followed
    std::optional<Refusal> refusal;
    std::vector<uint32_t> async_callbacks;
    State entry;
};

/// A kind of value in a message.
[[nodiscard]] const char* describe(Kind kind);

class Flow {
  public:
    Flow(const LinkedProgram& program, const UserHelpers& own, const ReadOnlyData& read_only);

    Analysis run();

  private:
    // -- analysis.cpp: joining and walking --
    static Value join(Value a, Value b);
    void find_arena();
    void read_forms();
    void number_blocks();
    void collect();
    void enter_function(uint32_t slot, State state);
    void enter(uint32_t slot, const State& state);
    [[nodiscard]] std::optional<int64_t> target(uint32_t slot) const;
    void refuse(uint32_t slot, std::string text);
    void refuse_unread(uint32_t slot, uint8_t reg);
    void account_for_unreached();
    std::vector<bool> reached_by_edges();
    void walk(Block& block);
    /// What an instruction of some form does with the registers that its fields name.
    struct Uses {
        bool reads_src = false;
        bool reads_dst = false;
        bool writes_dst = false;
        bool writes_src = false;
    };
    static Uses uses_of(const InsnForm& form);
    /// By place of the form in its table.
    static const Uses* all_uses();
    void refuse_fields(uint32_t slot, const Insn& insn, bool writes_frame, bool src_bad);
    void check_reads(uint32_t slot, const Insn& insn, const InsnForm& form, const State& state);
    void step(uint32_t slot, const Insn& insn, const InsnForm& form, State& state);
    void note_proof(uint32_t slot, const Insn& insn, const InsnForm& form, const State& state);
    /// Every overwrite of a register goes through here; nothing is lost when data_end is overwritten.
    static void set(Value& to, Value value) { to = value; }

    // -- analysis_memory.cpp: arithmetic, loads and stores --
    void alu(uint32_t slot, const Insn& insn, State& state);
    void pointer_arithmetic(uint32_t slot, const Insn& insn, uint8_t operation, bool wide, Value& dst,
                            Value src);
    [[nodiscard]] bool is_known_to_core(uint32_t slot) const;
    void load_immediate(uint32_t slot, const Insn& insn, Value& dst);
    static std::optional<uint32_t> stack_place(Value base, const Insn& insn);
    void note_target(uint32_t slot, Value base);
    void check_base(uint32_t slot, uint8_t reg, Value base, bool writes);
    void load(uint32_t slot, const Insn& insn, const InsnForm& form, State& state);
    Value load_context(uint32_t slot, const Insn& insn, const InsnForm& form, Value base);
    void check_context_store(uint32_t slot, const Insn& insn, const InsnForm& form, Value base);
    void store(uint32_t slot, const Insn& insn, const InsnForm& form, State& state);
    void atomic(uint32_t slot, const Insn& insn, State& state);
    void forget_spills(State& state);

    [[nodiscard]] static Value maybe_null(uint32_t slot) {
        return {Kind::MaybeNull, static_cast<int32_t>(slot) + 1};
    }
    [[nodiscard]] Value checked(Value value) const;
    void note_comparison(const Insn& insn, State& state);
    void take_for_checked(Value pointer, State& state) const;
    void want_not_null(uint32_t slot, uint8_t reg, State& state);

    // -- analysis_calls.cpp --
    static void call_clobbers(State& state);
    static bool passes_stack(const State& state);
    void hand_over_stack(State& state);
    void call_helper(uint32_t slot, const Insn& insn, State& state);
    void call_kfunc(uint32_t slot, State& state);
    void note_async(Value callback);
    void check_sleeping();
    static Kind returned(uint32_t id);
    [[nodiscard]] bool may_return_null(uint32_t id, Value map) const;
    void call_local(uint32_t slot, State& state);
    void note_locking(uint32_t slot, const InsnForm& form);
    [[nodiscard]] const std::string& kfunc_name(uint32_t slot) const;
    void check_helper_under_lock(uint32_t slot, uint32_t id, State& state);
    void want_no_lock(uint32_t slot, const State& state, std::string_view prefix, std::string_view name);
    void want_nothing_open(uint32_t slot, const State& state, std::string_view name);

    static constexpr uint32_t kNoBlock = UINT32_MAX;

    const LinkedProgram& program_;
    const UserHelpers& own_;
    const std::vector<Insn>& insns_;
    const InsnForm* forms_ = insn_forms().data();
    const Uses* uses_ = all_uses();
    Constants constants_;
    std::vector<uint32_t> core_moves_;
    const ContextKind* context_;
    std::vector<const LinkedRef*> refs_; ///< by slot
    std::vector<uint64_t> begins_;       ///< bits by slot: a block begins there
    std::vector<uint32_t> block_at_;     ///< by slot: the block that begins there
    std::vector<Block> blocks_;          ///< in order of slots
    std::vector<uint32_t> work_;         ///< heap of blocks to walk, the first on top
    std::optional<uint32_t> arena_;      ///< index of the map that pointers to an arena belong to
    Block* current_ = nullptr;           ///< the block being walked
    std::vector<uint32_t> sleeps_at_;    ///< slots of calls that may sleep
    std::vector<uint32_t> works_;        ///< first slots of functions of work queues
    Analysis result_;
    uint32_t unreached_ = 0;        ///< instructions of a known form that no walk came to yet
    bool all_known_ = true;         ///< every instruction has a form
    bool has_callbacks_ = false;    ///< takes a function's address
    bool locks_ = false;            ///< takes locks somewhere
    bool subprograms_lock_ = false; ///< takes or gives back locks below the entry function
    bool resilient_locks_ = false;  ///< of the kind that several of can be held
    bool opens_ = false;            ///< takes anything that it has to give back
    bool values_point_ = false;     ///< values of maps have pointers to objects
};

} // namespace mimicsh::vm::flow
