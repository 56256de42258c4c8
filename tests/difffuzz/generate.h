// SPDX-License-Identifier: MIT
// The generator of well-typed programs.
#pragma once

#include "tests/difffuzz/case.h"

namespace mimicsh::difffuzz {

struct Shape {
    uint32_t length = 120; ///< median of the instruction slots of a program
    uint32_t packets = 8;
};

/// The case of a seed; the same for the same seed and shape on every machine.
[[nodiscard]] Case generate(uint64_t seed, const Shape& shape);

} // namespace mimicsh::difffuzz
