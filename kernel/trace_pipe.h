// SPDX-License-Identifier: MIT
// The kernel's trace pipe, where bpf_printk writes.
#pragma once

#include "base/error.h"
#include "base/fd.h"

namespace mimicsh::kernel {

/// Opens the trace pipe of the whole machine, without waiting when it is read while empty. Where tracefs is
/// not mounted it is mounted in a namespace that nobody else sees and that ends with the call. What is read
/// is gone for other readers. ENODATA where tracing is off.
[[nodiscard]] Expected<Fd> open_trace_pipe();

} // namespace mimicsh::kernel
