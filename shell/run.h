// SPDX-License-Identifier: MIT
// Runs what the command line asks for, from the first chunk to the exit code.
#pragma once

#include "shell/options.h"

namespace mimicsh::shell {

inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitTestFailures = 3;
inline constexpr int kExitSkipped = 77;
inline constexpr int kExitInterrupted = 130;
inline constexpr int kExitTimedOut = 142;

/// Returns the exit code.
[[nodiscard]] int run(const CommandLine& line);

} // namespace mimicsh::shell
