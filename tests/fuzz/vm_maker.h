// SPDX-License-Identifier: MIT
// Objects made from the fuzzer's bytes, so that most load and their calls get past the first check.
#pragma once

#include <memory>
#include <span>

#include "object/object.h"
#include "tests/fuzz/vm_source.h"

namespace mimicsh::fuzz {

/// The objects that the tests compile from tests/cases/parity, compiled once.
[[nodiscard]] std::span<const Object> compiled_cases();

/// Maps of any type and odd sizes, with one of the compiled objects' maps and types beside them, and programs
/// of any type whose calls have plausible and hostile arguments.
[[nodiscard]] Object make_object(Source& source);

/// One of the compiled objects, some of its instructions, maps and types of programs changed.
[[nodiscard]] Object mutate_case(Source& source);

/// A map of any type.
[[nodiscard]] MapDef make_map(Source& source, size_t number);

/// Makes jumps that leave their function, or arrive between instructions, go on to the next instruction, and
/// takes relocations away that do not fit.
void repair(Object& object, Function& function);

} // namespace mimicsh::fuzz
