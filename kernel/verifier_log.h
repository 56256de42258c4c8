// SPDX-License-Identifier: MIT
// What the kernel's verifier said, in short.
#pragma once

#include <string>

#include "object/linker.h"

namespace mimicsh::kernel {

/// Error for a refused program: "load: NAME: file:line: reason", the whole log in Error::log. The reason is
/// the last line of the log before the statistics, the place the last source comment above it;
/// for what CO-RE could not resolve the reason says what it was.
[[nodiscard]] Error verifier_refusal(const LinkedProgram& program, int code, std::string log);

} // namespace mimicsh::kernel
