// SPDX-License-Identifier: MIT
// Small C programs made from a seed: what compilers emit, where difffuzz makes instructions itself.
#pragma once

#include <cstdint>
#include <string>

namespace mimicsh::test {

/// An XDP program of the seed: integers of all widths, arrays, packed structs and bit fields, loops,
/// switches, static functions, packet and map accesses, folded into the return value and a map. It compiles
/// without undefined behaviour.
[[nodiscard]] std::string generate_c(uint64_t seed);

} // namespace mimicsh::test
