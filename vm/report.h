// SPDX-License-Identifier: MIT
// From what stopped a run to the Fault that people read.
#pragma once

#include "object/target.h"
#include "vm/machine.h"
#include "vm/trace.h"

namespace mimicsh::vm {

/// A place in a program for people: "line 12 (instruction 7)".
[[nodiscard]] std::string at_line(const LinkedProgram& program, uint32_t slot);

/// How a guest address reads to a person: "packet+14", "context", "value of map flows+8"; empty for numbers.
[[nodiscard]] std::string describe_pointer(const Machine& machine, uint64_t value);

/// Builds the Fault; `tracer` adds where the pointer came from, null = not known. Registers are the
/// machine's.
[[nodiscard]] Fault make_fault(const Machine& machine, const PendingFault& pending, const Tracer* tracer);

} // namespace mimicsh::vm
