// SPDX-License-Identifier: MIT
// Objects made from the fuzzer's bytes, so that most load and their calls get past the first check.
#pragma once

#include <memory>
#include <optional>
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

/// Programs that call each other and themselves by tail calls, through subprograms and from callbacks, with
/// callbacks in callbacks, loops of may_goto and exceptions.
void make_chains(Source& source, Object& object);

/// Changes the object's types and what refers to them: sizes, places, numbers of elements, types that contain
/// each other, tags, fields of the kernel's; records of lines, functions and CO-RE.
void change_types(Source& source, Object& object);

/// Relocations and records of any kind anywhere; few of these objects load.
void break_references(Source& source, Object& object);

/// A program of the object as the kernel takes it: instructions, types and records of functions, the latter
/// two damaged now and then. Nothing when it cannot be read back.
[[nodiscard]] std::optional<Object> through_raw(Source& source, const Object& object);

/// A map of any type.
[[nodiscard]] MapDef make_map(Source& source, size_t number);

/// Makes jumps that leave their function, or arrive between instructions, go on to the next instruction, and
/// takes relocations away that do not fit.
void repair(Object& object, Function& function);

} // namespace mimicsh::fuzz
