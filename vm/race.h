// SPDX-License-Identifier: MIT
// Two emulated CPUs that run a program at the same time, interleaved instruction by instruction by a seed.
#pragma once

#include "vm/machine.h"
#include "vm/program.h"

namespace mimicsh::vm {

/// Runs the program on both packets in either order, then interleaved by each seed, always from the maps as
/// they are, which are put back afterwards. An instruction or helper call is one step.
[[nodiscard]] Expected<RaceReport> find_races(LoadedProgram& program, Machine& main,
                                              const RaceOptions& options);

} // namespace mimicsh::vm
