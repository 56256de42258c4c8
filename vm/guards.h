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
/// Before a pointer is used that was not compared with NULL: the operation has its register in `dst` and the
/// slot that gave it, plus 1, in `c`. A NULL is left to the access.
uint64_t guard_not_null(Machine& machine, const uint64_t* args);
/// Whether the call that runs reads at an address as at any number, which the verifier does not look at:
/// probe reads, strings and addresses that are printed, strings of kernel functions.
bool is_probing(const Machine& machine, uint64_t addr);
/// Looks at an argument in packet memory: few helpers take that. `what` names the argument.
void want_packet_access(Machine& machine, uint64_t addr, const char* what);
/// Before what may end the program, while it still has something to give back.
uint64_t guard_nothing_open(Machine& machine, const uint64_t* args);

} // namespace mimicsh::vm
