// SPDX-License-Identifier: MIT
// What the running kernel and our privileges allow, found out by trying.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace mimicsh::kernel {

struct Feature {
    std::string name; ///< "bpf", "xdp", "test_run", "btf", "ringbuf"
    bool available = false;
    std::string reason; ///< why not; empty when available
};

/// Tries each feature once; nothing stays behind.
[[nodiscard]] std::vector<Feature> probe_features();

/// Whether XDP programs can be loaded and test-run here; the error says why not.
[[nodiscard]] Status usable();

} // namespace mimicsh::kernel
