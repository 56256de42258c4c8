// SPDX-License-Identifier: MIT
// Program types that are loaded and do not run.
#pragma once

#include <string>

#include "object/abi.h"

namespace mimicsh::vm {

/// Why programs of a type do not run though they are loaded; empty for those that do.
[[nodiscard]] std::string prog_type_reason(abi::ProgType type);

} // namespace mimicsh::vm
