// SPDX-License-Identifier: MIT
// Watching a run instruction by instruction: the trace text, and where each pointer came from.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "object/linker.h"
#include "vm/trace_text.h"

namespace mimicsh::vm {

class Machine;
struct Code;

/// Where the value of a register or spill slot came from, as a chain of instructions: the one that made the
/// pointer, then the ones that moved it.
struct Origin {
    uint32_t made_at = kNowhere;
    std::vector<uint32_t> moved_at;
    size_t first_reg = 0; ///< made nowhere: the register that had it when the program started
    static constexpr uint32_t kNowhere = 0xffffffff;
};

/// Called before every instruction of a traced run.
class Tracer {
  public:
    /// With `text`, a line per instruction is collected, with functions, labels and source lines between.
    explicit Tracer(bool text) : wants_text_(text) {
        for (size_t reg = 0; reg < regs_.size(); ++reg) {
            regs_[reg].first_reg = reg;
        }
    }

    void before(const Machine& machine, uint32_t slot);
    /// Calls `step` before each instruction.
    void on_step(std::function<void()> step) { step_ = std::move(step); }

    /// Behind the last instruction: its result belongs to the text.
    void finish(const Machine& machine) { text_.finish(machine); }
    [[nodiscard]] const std::string& text() const { return text_.text(); }
    [[nodiscard]] uint64_t instructions() const { return instructions_; }
    /// Of the value a register held when the last reported instruction began.
    [[nodiscard]] const Origin& origin(uint32_t reg) const {
        return reg == overwritten_reg_ ? overwritten_ : regs_[reg];
    }

  private:
    void follow(const Machine& machine, const LinkedProgram& program, uint32_t slot);

    static constexpr uint32_t kNone = 0xffffffff;
    static constexpr size_t kMaxSpills = size_t{1} << 16; // of what may be stored all over large maps
    bool wants_text_;
    std::function<void()> step_;
    TraceText text_;
    uint64_t instructions_ = 0;
    std::array<Origin, 11> regs_;
    uint32_t overwritten_reg_ = kNone; ///< register that the last instruction writes, and what it held before
    Origin overwritten_;
    std::map<uint64_t, Origin> spills_; ///< by guest address of 8-byte places, mostly of the stack
    const void* last_ = nullptr;
};

} // namespace mimicsh::vm
