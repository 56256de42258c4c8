// SPDX-License-Identifier: MIT
// Kernel modules that programs may want: whether they are loaded. None is ever loaded here.
#pragma once

#include <string>

#include "base/error.h"

namespace mimicsh::kernel {

struct ModuleInfo {
    std::string name;
    bool is_loaded = false;
    std::string version; ///< of the module, when it says one
};

/// "vmlinux" is the kernel itself; its version is the release.
[[nodiscard]] ModuleInfo find_module(const std::string& name);

/// ENOENT, with how to load it, when the module is not there.
[[nodiscard]] Status need_module(const std::string& name);

} // namespace mimicsh::kernel
