// SPDX-License-Identifier: MIT
// The running kernel's types.
#pragma once

#include <memory>

#include "object/btf.h"

namespace mimicsh {

/// /sys/kernel/btf/vmlinux, parsed once per process and shared. ENOENT with a hint where the kernel has none.
[[nodiscard]] Expected<std::shared_ptr<const Btf>> running_kernel_btf();

} // namespace mimicsh
