// SPDX-License-Identifier: MIT
// Number of possible CPUs, which decides the size of per-CPU values.
#pragma once

#include <cstdint>

namespace mimicsh {

/// CPUs the running kernel may ever have (/sys/devices/system/cpu/possible); the online count where that is
/// not readable. Read once.
[[nodiscard]] uint32_t possible_cpus();

} // namespace mimicsh
