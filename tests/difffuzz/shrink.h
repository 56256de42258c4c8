// SPDX-License-Identifier: MIT
// From a case that differs to a small one, and to the first instruction that does.
#pragma once

#include <functional>
#include <string>

#include "tests/difffuzz/case.h"

namespace mimicsh::difffuzz {

/// Says what differs between the sides; empty when they agree or the kernel refuses the program.
using Oracle = std::function<std::string(const Case&)>;

/// Makes a case smaller while it still differs: fewer packets, ranges of instructions replaced by `goto +0`,
/// smaller constants, then without those that do nothing. With `keep_kinds` a register that an instruction
/// made a number stays one, for when the oracle cannot tell that a result was made from a pointer.
[[nodiscard]] Case shrink(Case which, const Oracle& differs, bool keep_kinds);

/// The case as assembler text, and its packets in hex.
[[nodiscard]] std::string listing(const Case& which);

/// Says whether the sides differ in the word at kOutProbe.
using ProbeOracle = std::function<bool(const Case&)>;

/// The first instruction of the program, in order of slots, whose result differs: each in turn adds its
/// register to the number at kOutProbe. Empty when none could be seen to.
[[nodiscard]] std::string bisect(const Case& which, const ProbeOracle& differs);

} // namespace mimicsh::difffuzz
