// SPDX-License-Identifier: MIT
// The kernel target: the same object, loaded into the running Linux kernel through bpf(2).
#pragma once

#include <memory>

#include "object/target.h"

namespace mimicsh::kernel {

/// Always succeeds; loading fails with EPERM (and a hint that names the capability) where bpf(2) is not
/// allowed.
[[nodiscard]] std::unique_ptr<Target> make_target();

} // namespace mimicsh::kernel
