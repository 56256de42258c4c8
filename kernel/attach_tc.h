// SPDX-License-Identifier: MIT
// Filters on a clsact queueing discipline: ours, those of others, and those that a killed process left.
#pragma once

#include <string>
#include <vector>

#include "kernel/journal.h"
#include "kernel/link.h"

namespace mimicsh::kernel {

/// eBPF filters on a device's clsact, both directions; the calling thread's namespace.
[[nodiscard]] Expected<std::vector<LinkInfo>> list_clsact(const std::string& device, uint32_t ifindex);

/// Removes the filter that an entry names, and the clsact that was made for it when nothing else is on it.
/// Something else in its place is left alone. Returns a line that says what became of it.
[[nodiscard]] std::string undo_clsact(const JournalEntry& entry);

} // namespace mimicsh::kernel
