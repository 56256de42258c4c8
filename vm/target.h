// SPDX-License-Identifier: MIT
// The vm target: loads objects into the emulator. Needs no privilege and no Linux feature.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "object/target.h"
#include "vm/user_helper.h"
#include "vm/world.h"

namespace mimicsh::vm {

enum class Mode : uint8_t {
    Strict,     ///< refuses what the kernel refuses, as far as known
    Permissive, ///< for conformance suites: executes whatever has a meaning
};

/// Kernels whose limits can hold, oldest first.
enum class KernelVersion : uint8_t { V6_1, V6_12, V6_18 };

struct Options {
    uint64_t seed = 1;                   ///< of get_prandom_u32 and of hash order
    uint32_t cpus = 0;                   ///< possible CPUs; 0 = as many as this machine has
    uint32_t cpu = 0;                    ///< CPU that programs run on, below cpus
    uint64_t budget = uint64_t{1} << 32; ///< back-edges and calls one run may take before it faults
    uint64_t clock_ns =
        1'000'000'000; ///< what ktime_get_ns answers; stands still unless a helper advances it
    uint64_t memory_limit = uint64_t{4} << 30; ///< bytes of map storage of one instance
    Mode mode = Mode::Strict;
    KernelVersion kernel = KernelVersion::V6_18; ///< strict mode refuses what it has not (vm/versions.h)
    bool sanitize_fault = false;                 ///< warnings become faults
    std::shared_ptr<const World> world;          ///< null = nothing is scripted
    UserHelpers helpers; ///< replace the vm's own or add to them; called on the thread that runs
};

[[nodiscard]] std::unique_ptr<Target> make_target(const Options& options = {});

} // namespace mimicsh::vm
