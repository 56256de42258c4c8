// SPDX-License-Identifier: MIT
// What can be known about a program before it runs: which accesses go to the context or to a fixed stack
// place, which comparisons prove packet bounds, and what the kernel refuses on every path.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "object/insn.h"
#include "object/linker.h"
#include "vm/user_helper.h"

namespace mimicsh::vm {

/// What the analysis says about one instruction slot.
struct SlotFacts {
    enum class Target : uint8_t {
        Unknown,
        Context, ///< value = byte offset of the field
        Stack,   ///< value = byte offset in the frame, 0 .. 511
        Packet,  ///< loads and stores: through a packet pointer
        Map,     ///< helper calls: r1 is the map with index `value`; other instructions: it is their arena
    };
    Target target = Target::Unknown;
    bool reached = false;
    bool entered = false; ///< something jumps here, or a function begins
    bool dead = false;    ///< reached only past a branch that read-only data or CO-RE decides the other way
    /// What has to be so here and is only known when the program runs.
    enum class Guard : uint8_t {
        None,
        NoLock,      ///< calls: no lock is held
        NothingOpen, ///< what may end the program: no lock, reference or section either
        NotNull,     ///< register `pointer` is not NULL, which another slot gave
    };
    Guard guard = Guard::None;
    bool proves = false; ///< a comparison of a packet pointer with data_end (or of data_meta's with data)
    uint8_t pointer = 0; ///< proves, Guard::NotNull: register of the pointer
    uint8_t end = 0;     ///< proves: register of the bound
    int32_t value = 0;
    int32_t origin = 0; ///< Guard::NotNull: 1 + slot that gave the pointer, 0 when it varies
};

struct Refusal {
    uint32_t slot = 0;
    std::string text; ///< why the kernel would not load the program
};

struct Analysis {
    std::vector<SlotFacts> slots;
    std::vector<const InsnForm*> forms; ///< by slot; null where no instruction starts and for those unknown
    std::vector<uint32_t>
        async_callbacks;       ///< first slots of functions that run later, on a stack of their own
    bool tracks_bounds = true; ///< every comparison with data_end was recognised
    std::optional<Refusal> refusal;
};

/// What a load of `size` bytes at an offset of a map's value gives, for maps that nobody can write any more;
/// nothing for others. The kernel takes such loads for constants (bpf_map_direct_read in
/// kernel/bpf/verifier.c).
using ReadOnlyData = std::function<std::optional<uint64_t>(uint32_t map, uint32_t offset, uint32_t size)>;

/// Follows kinds of values through the program until nothing changes. Facts hold on every path; a refusal is
/// reported only where the kind is certain.
/// `own` are the embedder's helpers, of whose results nothing is known.
[[nodiscard]] Analysis analyse(const LinkedProgram& program, const UserHelpers& own,
                               const ReadOnlyData& read_only);

} // namespace mimicsh::vm
