// SPDX-License-Identifier: MIT
// Guest addresses: region handle in the high half, offset in the low half. No host address is ever seen by a
// program.
#pragma once

#include <cstdint>

namespace mimicsh::vm {

using GuestAddr = uint64_t;

/// Low half of the address of a region's byte 0. Far from 0, so that the low half of a pointer is never 0 and
/// a pointer that strays up to 1 GiB to either side still names its region.
inline constexpr uint32_t kOrigin = 0x4000'0000;
/// Guest bytes that one handle can span.
inline constexpr uint32_t kHandleSpan = 0x8000'0000;

[[nodiscard]] constexpr GuestAddr make_addr(uint32_t handle, uint32_t offset) {
    return uint64_t{handle} << 32 | (kOrigin + offset);
}
[[nodiscard]] constexpr uint32_t handle_of(GuestAddr addr) {
    return static_cast<uint32_t>(addr >> 32);
}
/// Signed distance from the region's byte 0.
[[nodiscard]] constexpr int64_t offset_of(GuestAddr addr) {
    return int64_t{static_cast<uint32_t>(addr)} - int64_t{kOrigin};
}

} // namespace mimicsh::vm
