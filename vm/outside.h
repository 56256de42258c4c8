// SPDX-License-Identifier: MIT
// What the dispatch loop leaves to the machine beside atomic operations, and hands to it as one: accesses to
// arenas, and addresses of theirs.
#pragma once

#include <cstdint>

namespace mimicsh::vm {

class Machine;
struct Op;

/// The work of an operation; in src2 (src is taken by the instruction). `dst2` is the size of an access, `c`
/// the index of the arena, `a` the offset.
enum class Outside : uint8_t {
    Atomic, ///< on anything but an arena
    ArenaAtomic,
    ArenaLoad,
    ArenaLoadSigned,
    ArenaLoadAcquire,
    ArenaStore,
    ArenaStoreImm,
    CastUser, ///< an address as user space has it; a = its upper half
};

/// Anything but atomic operations. False: a fault is pending.
[[nodiscard]] bool work_outside(Machine& machine, const Op& op);

/// Where an operation on an arena goes.
struct ArenaPlace {
    bool elsewhere = false;  ///< what the register holds is no address of an arena
    uint8_t* host = nullptr; ///< null: no page is there, and the program was warned
};
[[nodiscard]] ArenaPlace arena_place(Machine& machine, const Op& op);

} // namespace mimicsh::vm
