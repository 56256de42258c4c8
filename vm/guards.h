// SPDX-License-Identifier: MIT
// Checks before single instructions of what only the run knows; each is called like a helper and leaves r0
// as it is.
#pragma once

#include "vm/machine.h"

namespace mimicsh::vm {

/// A lock in a message: "the lock in a value of map flows".
[[nodiscard]] std::string lock_text(const Machine::HeldLock& lock);

/// Before calls that the kernel refuses while a lock is held.
uint64_t guard_no_lock(Machine& machine, const uint64_t* args);
/// Before what may end the program, while it still has something to give back.
uint64_t guard_nothing_open(Machine& machine, const uint64_t* args);

} // namespace mimicsh::vm
