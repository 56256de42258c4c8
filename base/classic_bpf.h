// SPDX-License-Identifier: MIT
// The instruction of classic BPF, what pcap-filter expressions compile to (struct bpf_insn of <pcap/bpf.h>,
// struct sock_filter of include/uapi/linux/filter.h).
#pragma once

#include <cstdint>

namespace mimicsh {

struct ClassicInsn {
    uint16_t code = 0;
    uint8_t jt = 0; ///< jumps: instructions to leave out when the condition holds
    uint8_t jf = 0; ///< and when it does not
    uint32_t k = 0;

    friend bool operator==(const ClassicInsn&, const ClassicInsn&) = default;
};

} // namespace mimicsh
