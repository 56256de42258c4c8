// SPDX-License-Identifier: MIT
// What the calling thread may do, and what to do where it may not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mimicsh::kernel {

/// The kernel's numbers (linux/capability.h; CAP_BPF and CAP_PERFMON are there since Linux 5.8).
enum class Capability : uint8_t { NetAdmin = 12, SysAdmin = 21, Perfmon = 38, Bpf = 39 };

/// Whether the calling thread has it, or CAP_SYS_ADMIN, which bpf(2) takes for all of them. In a user
/// namespace of its own it may have it there, which does not count for bpf(2).
[[nodiscard]] bool has_capability(Capability capability);

/// The end of a sentence that says what `needed` is and which of that is missing: "CAP_BPF and CAP_NET_ADMIN
/// (CAP_BPF is missing): run as root".
[[nodiscard]] std::string run_with(const std::vector<Capability>& needed);

} // namespace mimicsh::kernel
