// SPDX-License-Identifier: MIT
// The vectors of tests/cases/plugin: programs on memory, with what they return.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "object/object.h"

namespace mimicsh::test {

struct Vector {
    std::string form;   ///< mnemonic in the instruction table
    uint32_t line = 0;  ///< in the file
    std::string source; ///< program, its number put in
    ByteVec memory;
    uint64_t result = 0;
    std::string error;    ///< message instead of a result
    bool refused = false; ///< by the kernel
    bool on_skb = false;  ///< the kernel runs it on a packet

    [[nodiscard]] std::string name() const { return "line " + std::to_string(line) + ", " + form; }
};

/// All vectors; fails the test when the file is not as its first lines say.
[[nodiscard]] const std::vector<Vector>& vectors();

/// The program of a vector as an object whose function 0 is the program; fails the test when it does not
/// assemble.
[[nodiscard]] std::optional<Object> assemble_vector(const Vector& vector);

} // namespace mimicsh::test
