// SPDX-License-Identifier: MIT
// The kernel target: the same object, loaded into the running Linux kernel through bpf(2).
#pragma once

#include <map>
#include <memory>
#include <string>

#include "object/target.h"

namespace mimicsh::kernel {

struct Options {
    /// Maps of the object, by name, that are not made but opened where they are pinned. They have to be like
    /// the declared ones.
    std::map<std::string, std::string> pinned;
};

/// Always succeeds; loading fails with EPERM (and a hint that names the capability) where bpf(2) is not
/// allowed.
[[nodiscard]] std::unique_ptr<Target> make_target(Options options = {});

} // namespace mimicsh::kernel
