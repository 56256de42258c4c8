// SPDX-License-Identifier: MIT
// Running one child process without a shell: input given, outputs collected up to a bound.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh {

struct ProcessOptions {
    std::string path;                        ///< of the executable
    std::vector<std::string> args;           ///< args[0] included
    std::string input;                       ///< what it reads on descriptor 0
    std::string directory;                   ///< where it runs; empty = here
    size_t output_limit = size_t{64} << 20;  ///< descriptor 1; more fails with EFBIG
    size_t error_limit = size_t{1} << 20;    ///< descriptor 2; more is dropped
    size_t extra_limit = size_t{4} << 20;    ///< descriptor 3; more fails with EFBIG
    const std::atomic<bool>* stop = nullptr; ///< set from outside: killed, EINTR
};

struct ProcessResult {
    int status = 0; ///< exit status, or 128 + signal
    ByteVec output; ///< from descriptor 1
    ByteVec errors; ///< from descriptor 2
    ByteVec extra;  ///< from descriptor 3
};

/// Runs it to the end. An error means that it could not be run or was stopped; a bad exit status is a result.
[[nodiscard]] Expected<ProcessResult> run_process(const ProcessOptions& options, const std::string& op);

} // namespace mimicsh
