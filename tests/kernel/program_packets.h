// SPDX-License-Identifier: MIT
// Frames that reach the branches of the programs of tests/cases/programs.
#pragma once

#include <vector>

#include "base/bytes.h"

namespace mimicsh::test {

/// Built frames, in an order that lets programs with memory see openings, answers and ends; a header that
/// cannot be built fails the test.
[[nodiscard]] std::vector<ByteVec> program_packets();

} // namespace mimicsh::test
