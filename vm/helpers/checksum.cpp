// SPDX-License-Identifier: MIT
// bpf_csum_diff (net/core/filter.c).
#include <cstring>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

/// csum_partial: 32-bit sum with end-around carry. Never 0 unless everything added was 0.
uint32_t sum_words(const uint8_t* bytes, uint32_t size, uint32_t seed) {
    uint64_t wide = seed;
    for (; size >= 4; size -= 4, bytes += 4) {
        wide += mimicsh::load<uint32_t>(bytes);
    }
    uint32_t rest = 0;
    std::memcpy(&rest, bytes, size);
    wide += rest;
    wide = (wide & 0xffffffff) + (wide >> 32);
    return static_cast<uint32_t>((wide & 0xffffffff) + (wide >> 32));
}

/// csum_from32to16: since Linux 6.13 the helper returns 16 bits on every architecture.
uint32_t fold(uint32_t sum) {
    sum += sum >> 16 | sum << 16;
    return sum >> 16;
}

} // namespace

uint64_t helper_csum_diff(Machine& machine, const uint64_t* args) {
    const auto from_size = static_cast<uint32_t>(args[1]);
    const auto to_size = static_cast<uint32_t>(args[3]);
    const uint8_t* from = machine.span(args[0], from_size, Access::Read, "old bytes");
    const uint8_t* to = from == nullptr ? nullptr : machine.span(args[2], to_size, Access::Read, "new bytes");
    if (to == nullptr) {
        return 0;
    }
    const auto seed = static_cast<uint32_t>(args[4]);
    if (from_size == 0) {
        return fold(sum_words(to, to_size, seed));
    }
    if (to_size == 0) {
        return fold(~sum_words(from, from_size, ~seed));
    }
    const uint64_t wide = uint64_t{sum_words(to, to_size, seed)} + uint32_t{~sum_words(from, from_size, 0)};
    return fold(static_cast<uint32_t>(wide) + static_cast<uint32_t>(wide >> 32));
}

} // namespace mimicsh::vm
