// SPDX-License-Identifier: MIT
// The packets that whole corpora of programs run on.
#pragma once

#include <vector>

#include "base/bytes.h"

namespace mimicsh::test {

/// What program_packets() builds, in its own order, then all packets of tests/data/captures, equal ones once,
/// and the sizes around the limits of a test run.
[[nodiscard]] const std::vector<ByteVec>& corpus_packets();

} // namespace mimicsh::test
