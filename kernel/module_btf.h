// SPDX-License-Identifier: MIT
// What the running kernel's modules give to programs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "object/btf.h"

namespace mimicsh::kernel {

/// A function or variable of a loaded module.
struct ModuleSymbol {
    std::string module;
    uint32_t btf_id = 0; ///< of the FUNC or VAR, counted on from vmlinux
    uint32_t object = 0; ///< id of the module's BTF in the kernel
    Fd btf;              ///< its descriptor, which the load of a program that means the symbol wants
};

/// Looks for a name in the BTF of all loaded modules, in the order they were loaded. Nothing when none has
/// it, or their BTF cannot be read (modules that were built without have none).
[[nodiscard]] Expected<std::optional<ModuleSymbol>> find_in_modules(const std::string& name, BtfKind kind);

} // namespace mimicsh::kernel
