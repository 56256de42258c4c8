// SPDX-License-Identifier: MIT
// Kernel functions on arenas.
#pragma once

#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

uint64_t kfunc_arena_alloc_pages(Machine& machine, const uint64_t* args);
uint64_t kfunc_arena_free_pages(Machine& machine, const uint64_t* args);
uint64_t kfunc_arena_reserve_pages(Machine& machine, const uint64_t* args);

} // namespace mimicsh::vm
