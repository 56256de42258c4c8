// SPDX-License-Identifier: MIT
// What the kernel functions on connections share (include/net/netfilter/nf_conntrack.h).
#pragma once

#include <optional>

#include "vm/machine.h"

namespace mimicsh::vm::conntrack {

/// IPS_* bits.
enum Status : uint32_t {
    kExpected = 1 << 0,
    kSeenReply = 1 << 1,
    kAssured = 1 << 2,
    kConfirmed = 1 << 3,
    kSourceNat = 1 << 4,
    kDestinationNat = 1 << 5,
    kSourceNatDone = 1 << 7,
    kDestinationNatDone = 1 << 8,
    kDying = 1 << 9,
    kFixedTimeout = 1 << 10,
};

/// Number of the connection that an argument points to; nothing = fault pending.
[[nodiscard]] std::optional<uint32_t> connection_at(Machine& machine, uint64_t addr, RegionKind kind,
                                                    const char* kfunc);

} // namespace mimicsh::vm::conntrack
