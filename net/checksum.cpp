// SPDX-License-Identifier: MIT
// The Internet checksum, eight bytes at a time.
#include "net/checksum.h"

namespace mimicsh::net {

namespace {

// The sum is taken modulo 2^64-1, which 2^16-1 divides: carries out of the top come back in at the bottom.
inline uint64_t add_carry(uint64_t a, uint64_t b) {
    uint64_t sum = a + b;
    return sum + (sum < a ? 1 : 0);
}

inline uint16_t fold(uint64_t sum) {
    sum = (sum >> 32) + (sum & 0xffff'ffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return static_cast<uint16_t>(sum);
}

} // namespace

ChecksumSum checksum_add(ChecksumSum sum, ByteView bytes) {
    const uint8_t* at = bytes.data();
    size_t left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) {
        sum = add_carry(sum, load<uint64_t>(at));
    }
    if (left > 0) {
        uint64_t rest = 0;
        std::memcpy(&rest, at, left);
        sum = add_carry(sum, rest);
    }
    return sum;
}

uint16_t checksum_finish(ChecksumSum sum) {
    return byte_swap(static_cast<uint16_t>(~fold(sum)));
}

uint16_t checksum(ByteView bytes) {
    return checksum_finish(checksum_add(0, bytes));
}

ChecksumSum pseudo_header_sum(ByteView src, ByteView dst, uint8_t protocol, uint32_t length) {
    uint8_t tail[8] = {};
    store_be(tail, length);
    tail[7] = protocol;
    return checksum_add(checksum_add(checksum_add(0, src), dst), tail);
}

uint16_t checksum_update(uint16_t checksum, uint16_t before, uint16_t after) {
    uint32_t sum = (~uint32_t{checksum} & 0xffff) + (~uint32_t{before} & 0xffff) + after;
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return static_cast<uint16_t>(~sum);
}

uint16_t checksum_update(uint16_t checksum, uint32_t before, uint32_t after) {
    checksum =
        checksum_update(checksum, static_cast<uint16_t>(before >> 16), static_cast<uint16_t>(after >> 16));
    return checksum_update(checksum, static_cast<uint16_t>(before), static_cast<uint16_t>(after));
}

} // namespace mimicsh::net
