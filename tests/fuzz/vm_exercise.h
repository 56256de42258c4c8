// SPDX-License-Identifier: MIT
// What the vm's fuzz targets have in common: options, and everything that can be done with a loaded object.
#pragma once

#include <memory>

#include "object/object.h"
#include "tests/fuzz/vm_source.h"
#include "vm/target.h"

namespace mimicsh::fuzz {

/// Small limits, a rich world, and mode and sanitizing by choice.
[[nodiscard]] vm::Options choose_options(Source& source);

/// Adds a program that `exercise` runs at the end: it must work whatever happened before.
void add_witness(Object& object);

/// Loads the object and has runs, batches and host calls follow each other. Ends the process when one input
/// takes too long, or when the witness does not return what it should.
void exercise(std::shared_ptr<const Object> object, const vm::Options& options, Source& source);

} // namespace mimicsh::fuzz
