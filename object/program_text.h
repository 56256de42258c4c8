// SPDX-License-Identifier: MIT
// A linked program's text an instruction at a time, with names, labels and source lines, as listings and
// traces show it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "object/linker.h"

namespace mimicsh {

class ProgramText {
  public:
    /// The program must outlive it. Without `labels` jumps give distances.
    explicit ProgramText(const LinkedProgram& program, bool labels = true);

    /// The instruction that begins at a slot.
    [[nodiscard]] std::string text(uint32_t slot) const;
    /// "name" of the function that begins there, in a form that the assembler reads; else empty.
    [[nodiscard]] std::string function_at(uint32_t slot) const;
    /// "L12" when a jump arrives there; else empty.
    [[nodiscard]] std::string label_at(uint32_t slot) const;

  private:
    void choose_names();
    void choose_labels(bool labels);
    [[nodiscard]] std::optional<uint32_t> jump_target(uint32_t slot) const;

    const LinkedProgram& program_;
    std::vector<std::string> names_; // of functions, parallel to program_.functions, each once
    std::set<std::string> taken_;    // what a `call` may mean before it means a helper
    std::vector<bool> starts_;       // by slot: an instruction begins
    std::vector<bool> targets_;      // a jump arrives
    std::string prefix_ = "L";       // of labels
};

/// "dir/file.c:12:5", without a column that is 0; an expression ("filter 'udp port 53'"), whose lines are
/// made up, alone.
[[nodiscard]] std::string source_place(const SourceLine& source);

/// What the source says about an instruction beyond its own text, as comments.
struct SourceNote {
    std::string above; ///< "; file.c:12 text", for the first instruction of a line that is more than it
    std::string place; ///< "file.lua:12" of a line that is the instruction itself
    std::string more;  ///< what that line has behind it: a comment, its name for a label
};

/// Hands out each source line once per group of instructions.
class SourceNotes {
  public:
    /// The note for the instruction at a slot, whose text is `text`; of a line that was the last one too,
    /// nothing.
    SourceNote next(const LinkedProgram& program, uint32_t slot, const std::string& text);

  private:
    const LineInfo* last_line_ = nullptr;
    std::string last_; // records of one line may differ by column only
};

} // namespace mimicsh
