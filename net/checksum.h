// SPDX-License-Identifier: MIT
// The Internet checksum (RFC 1071): whole, incremental (RFC 1624), with pseudo headers.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace mimicsh::net {

/// A running ones' complement sum in the byte order of this host; start with 0.
using ChecksumSum = uint64_t;

/// Adds bytes. A block of odd size is padded with a zero byte, so only the last one may be odd.
[[nodiscard]] ChecksumSum checksum_add(ChecksumSum sum, ByteView bytes);
/// The checksum as a number in host order: what load_be<uint16_t> reads from the header.
[[nodiscard]] uint16_t checksum_finish(ChecksumSum sum);
/// checksum_finish(checksum_add(0, bytes)). Over bytes that hold a right checksum the result is 0.
[[nodiscard]] uint16_t checksum(ByteView bytes);

/// Sum of the pseudo header of TCP, UDP and ICMPv6. Addresses are both of 4 or both of 16 bytes.
[[nodiscard]] ChecksumSum pseudo_header_sum(ByteView src, ByteView dst, uint8_t protocol, uint32_t length);

/// The checksum after a 16-bit word of the covered bytes changed (RFC 1624, equation 3); host order values.
[[nodiscard]] uint16_t checksum_update(uint16_t checksum, uint16_t before, uint16_t after);
/// The same for a 32-bit word at an even offset.
[[nodiscard]] uint16_t checksum_update(uint16_t checksum, uint32_t before, uint32_t after);

} // namespace mimicsh::net
