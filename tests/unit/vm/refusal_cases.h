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

/// A refused program in C.
struct SourceRefusal {
    const char* body; ///< line 5 of the source
    const char* text; ///< part of the emulator's message
};

[[nodiscard]] const std::vector<SourceRefusal>& source_refusals();
[[nodiscard]] std::string refused_source(const SourceRefusal& one);

/// A program that only permissive mode runs, on `packet_of(64)`.
struct PermissiveCase {
    const char* what;
    std::vector<Insn> insns;
    uint32_t result;
};

[[nodiscard]] const std::vector<PermissiveCase>& permissive_cases();

} // namespace mimicsh::test
