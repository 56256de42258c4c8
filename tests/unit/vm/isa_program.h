// SPDX-License-Identifier: MIT
// One program that executes every instruction form on operands from a map, with what plain C++ expects of
// each.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/vm/raw.h"

namespace mimicsh::test {

/// One use of an instruction form. The body finds the operands a in r1 and b in r2, has r0 and r3-r5 free and
/// 16 bytes of map memory at r9+16 (which it fills itself), and leaves its result in r1.
struct IsaCase {
    std::string name; ///< mnemonic of the form, with the immediate where there is one
    const InsnForm* form = nullptr;
    std::vector<Insn> body;
    std::function<uint64_t(uint64_t a, uint64_t b)> expected;
};

/// Cases for every form that the emulator executes in a straight line. Calls and exits have their own tests.
[[nodiscard]] const std::vector<IsaCase>& isa_cases();

/// All cases in one XDP program. Its data section: a, b, 16 bytes of scratch, then one result per case.
[[nodiscard]] std::shared_ptr<const Object> isa_object(const std::vector<IsaCase>& cases);
inline constexpr uint32_t kIsaResults = 32;

/// Operands where sign, carry and width matter.
[[nodiscard]] const std::vector<uint64_t>& edge_operands();

/// Runs the object on (a, b) in an instance; returns one result per case, empty on an error (reported).
[[nodiscard]] std::vector<uint64_t> run_isa(Instance& instance, uint64_t a, uint64_t b, size_t count,
                                            const RunOptions& options = {});

} // namespace mimicsh::test
