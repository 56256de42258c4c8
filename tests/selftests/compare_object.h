// SPDX-License-Identifier: MIT
// One compiled selftest of the kernel: its packet programs on both targets.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "object/object.h"

namespace mimicsh::test {

enum class Outcome {
    Agrees,        ///< all programs that the kernel loads gave the same on every packet
    Differs,       ///< some run, or some map after the runs, was not the same
    NotEmulated,   ///< the kernel loads a program that the emulator refuses by name
    NeedsWorld,    ///< a program asks for something that only a scripted world can say
    KernelRefuses, ///< this kernel loads none of its programs
    NoProgram,     ///< has no program that works on packets
};

[[nodiscard]] std::string_view name(Outcome outcome);

struct Comparison {
    Outcome outcome = Outcome::NoProgram;
    std::vector<std::string> programs; ///< those that were compared
    std::vector<std::string> refused;  ///< "program: the kernel's reason", not compared
    std::string text;                  ///< what differs, or why the emulator does not load it
};

/// Loads the object's packet programs (all at once, or one by one when the kernel refuses some), puts
/// programs into prog arrays by the number at the end of their names, runs each on all corpus packets and
/// compares runs and maps.
[[nodiscard]] Comparison compare_object(const std::shared_ptr<const Object>& object);

} // namespace mimicsh::test
