// SPDX-License-Identifier: MIT
// Programs that no kernel loads and that strict mode refuses, and close relatives that load.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/vm/raw.h"

namespace mimicsh::test {

struct RefusalCase {
    std::string name;
    std::function<std::shared_ptr<const Object>()> make;
    std::string text;  ///< part of the emulator's message
    uint32_t slot = 0; ///< instruction that the message names
};

[[nodiscard]] const std::vector<RefusalCase>& refusal_cases();
[[nodiscard]] const std::vector<RefusalCase>& accepted_cases();

} // namespace mimicsh::test
