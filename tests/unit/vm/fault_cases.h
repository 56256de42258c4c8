// SPDX-License-Identifier: MIT
// Programs in C that fault or warn when they run.
#pragma once

#include <string>
#include <vector>

#include "tests/unit/vm/raw.h"

namespace mimicsh::test {

/// What a program says when it runs. The line that is to be named carries the comment "// here".
struct FaultCase {
    std::string name;
    FaultKind kind;
    std::string body; ///< of the program; the globals come with `fault_source`
    std::string cause;
    const char* hint = "";
    const char* origin = "";
    size_t packet = 64;
    std::string section = "xdp"; ///< "memory" is a type that no kernel has
    std::string before = {};     ///< functions that the program needs
    std::string world = {};      ///< scripted, as JSON
};

/// End in a fault; no kernel loads them.
[[nodiscard]] const std::vector<FaultCase>& fault_cases();
/// Give one warning and XDP_PASS.
[[nodiscard]] const std::vector<FaultCase>& warning_cases();
/// Relatives of both that have nothing to complain about; their cause is empty.
[[nodiscard]] const std::vector<FaultCase>& clean_cases();

/// Those of every kind of memory, moving helper and thing to give back; part of fault_cases().
[[nodiscard]] std::vector<FaultCase> region_fault_cases();
/// Accesses to the first and last bytes of the same memory; part of clean_cases().
[[nodiscard]] std::vector<FaultCase> region_clean_cases();

/// Length of the one sample that waits in the map `samples` when a case runs.
inline constexpr size_t kSample = 16;

/// The whole C text of a case.
[[nodiscard]] std::string fault_source(const FaultCase& one);

} // namespace mimicsh::test
