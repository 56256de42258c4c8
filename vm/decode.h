// SPDX-License-Identifier: MIT
// From linked instructions to interpreter operations.
#pragma once

#include <span>

#include "base/error.h"
#include "object/linker.h"
#include "vm/analysis.h"
#include "vm/code.h"
#include "vm/maps/map.h"
#include "vm/target.h"

namespace mimicsh::vm {

/// Error for a program that cannot be loaded: "load: NAME: file:line: instruction N: why"; the log is the
/// source line.
[[nodiscard]] Error load_refusal(const LinkedProgram& program, uint32_t slot, int code,
                                 const std::string& why, std::string hint = {});

/// The kernel's limits on call chains: 8 frames and 512 bytes of stack together, less than 256 below a tail
/// call, and no recursion. Functions that run later (first slots) have chains of their own.
[[nodiscard]] Status check_stack(const LinkedProgram& program, const Analysis& analysis);

struct DecodeOptions {
    bool traced = false;  ///< one operation per instruction, for the traced interpreter
    bool replays = false; ///< calls that a recording may answer ask it first
    bool shared = false;  ///< for CPUs that run at the same time: helpers on maps one at a time
    Mode mode = Mode::Strict;
    std::span<const std::shared_ptr<VmMap>> maps; ///< by index in the object
    const UserHelpers* helpers = nullptr;         ///< the embedder's; they come first
    KernelVersion kernel = KernelVersion::V6_18;  ///< strict mode: what came later is refused
    Machine* machine = nullptr;                   ///< whose variables of the kernel programs may name
};

/// Refuses, with the source line: instructions no kernel has, helpers that are not emulated or not callable
/// from the program type, and in strict mode immediates and operands that the kernel's verifier refuses
/// everywhere.
[[nodiscard]] Expected<Code> decode(const LinkedProgram& program, const Analysis& analysis,
                                    const DecodeOptions& options);

} // namespace mimicsh::vm
