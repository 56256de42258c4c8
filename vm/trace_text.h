// SPDX-License-Identifier: MIT
// The text of a traced run: functions, labels, source lines, instructions, and beside each what it gave or
// looked at.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "object/program_text.h"

namespace mimicsh::vm {

class Machine;

class TraceText {
  public:
    /// Before each instruction: writes what the last one did to its line, and begins the next.
    void before(const Machine& machine, const LinkedProgram& program, uint32_t slot);
    /// Behind the last one.
    void finish(const Machine& machine);

    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    static constexpr size_t kMaxText = size_t{64} << 20;

    void end_instruction(const Machine& machine, bool is_done);
    void end_line(const std::string& values);

    std::string text_;
    std::string line_;                       ///< begun, without its values
    std::string comment_;                    ///< of the source
    const LinkedProgram* program_ = nullptr; ///< of the line
    uint32_t slot_ = 0;
    std::string operands_; ///< values that the instruction looked at
    std::map<const LinkedProgram*, ProgramText> programs_;
    SourceNotes notes_;
};

} // namespace mimicsh::vm
