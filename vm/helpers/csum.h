// SPDX-License-Identifier: MIT
// Ones' complement sums as the kernel keeps them (include/net/checksum.h): 32-bit unfolded, in memory order.
#pragma once

#include <cstdint>

namespace mimicsh::vm {

[[nodiscard]] constexpr uint32_t csum_add(uint32_t a, uint32_t b) {
    const uint32_t sum = a + b;
    return sum + (sum < b ? 1 : 0);
}
[[nodiscard]] constexpr uint32_t csum_sub(uint32_t a, uint32_t b) {
    return csum_add(a, ~b);
}
/// The 16-bit checksum of a sum.
[[nodiscard]] constexpr uint16_t csum_fold(uint32_t sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
}
[[nodiscard]] constexpr uint16_t csum16_add(uint16_t a, uint16_t b) {
    const auto sum = static_cast<uint16_t>(a + b);
    return static_cast<uint16_t>(sum + (sum < b ? 1 : 0));
}
/// A checksum after a 32-bit part of what it covers changed.
[[nodiscard]] constexpr uint16_t csum_replace4(uint16_t check, uint32_t from, uint32_t to) {
    return csum_fold(csum_add(csum_sub(~uint32_t{check}, from), to));
}
/// A checksum after what it covers changed by a difference.
[[nodiscard]] constexpr uint16_t csum_replace_by_diff(uint16_t check, uint32_t diff) {
    return csum_fold(csum_add(diff, ~uint32_t{check}));
}
/// A checksum after a 16-bit part of what it covers changed.
[[nodiscard]] constexpr uint16_t csum_replace2(uint16_t check, uint16_t from, uint16_t to) {
    const auto less = csum16_add(static_cast<uint16_t>(~check), static_cast<uint16_t>(~from));
    return static_cast<uint16_t>(~csum16_add(less, to));
}

} // namespace mimicsh::vm
