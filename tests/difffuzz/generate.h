// SPDX-License-Identifier: MIT
// The generator of well-typed programs.
#pragma once

#include "tests/difffuzz/case.h"

namespace mimicsh::difffuzz {

enum class Types : uint8_t { Xdp, Tc, Mixed };

struct Shape {
    uint32_t length = 120; ///< median of the instruction slots of a program
    uint32_t packets = 8;
    Types types = Types::Mixed; ///< mixed: every third program is a sched_cls one
};

/// The case of a seed; the same for the same seed and shape on every machine. `spare`: inputs of a case that
/// is over, for the sake of their storage.
[[nodiscard]] Case generate(uint64_t seed, const Shape& shape, std::vector<Input> spare = {});

} // namespace mimicsh::difffuzz
