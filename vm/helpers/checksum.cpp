// SPDX-License-Identifier: MIT
// bpf_csum_diff (net/core/filter.c).
#include <cerrno>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

/// Sum with end-around carry of 32-bit words, folded to 16 bits' worth later by the program.
uint32_t add_words(uint32_t sum, const uint8_t* bytes, uint32_t size, bool invert) {
    uint64_t wide = sum;
    for (uint32_t i = 0; i < size; i += 4) {
        const auto word = mimicsh::load<uint32_t>(bytes + i);
        wide += invert ? ~word : word;
    }
    wide = (wide & 0xffffffff) + (wide >> 32);
    return static_cast<uint32_t>((wide & 0xffffffff) + (wide >> 32));
}

} // namespace

uint64_t helper_csum_diff(Machine& machine, const uint64_t* args) {
    const auto from_size = static_cast<uint32_t>(args[1]);
    const auto to_size = static_cast<uint32_t>(args[3]);
    if ((from_size | to_size) % 4 != 0) {
        return errno_result(-EINVAL);
    }
    const uint8_t* from = machine.span(args[0], from_size, Access::Read, "old bytes");
    const uint8_t* to = from == nullptr ? nullptr : machine.span(args[2], to_size, Access::Read, "new bytes");
    if (to == nullptr) {
        return 0;
    }
    uint32_t sum = static_cast<uint32_t>(args[4]);
    sum = add_words(sum, to, to_size, false);
    sum = add_words(sum, from, from_size, true);
    return sum;
}

} // namespace mimicsh::vm
