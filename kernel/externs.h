// SPDX-License-Identifier: MIT
// What an object's extern names stand for in the running kernel.
#pragma once

#include <span>
#include <vector>

#include "object/linker.h"

namespace mimicsh::kernel {

/// Puts the running kernel's numbers into the instructions that refer to kernel functions and symbols: BTF
/// ids of kfuncs and typed symbols, addresses of untyped ones (/proc/kallsyms). A weak one that the kernel
/// has not becomes 0, or for a call an instruction that no path may reach. ESRCH: a strong one is missing.
/// Configuration values are refused with ENOTSUP.
[[nodiscard]] Status resolve_externs(const LinkedProgram& program, std::span<Insn> insns);

} // namespace mimicsh::kernel
