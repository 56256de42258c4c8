// SPDX-License-Identifier: MIT
// From classic BPF (what pcap_compile makes of "udp port 53") to an object for XDP, tc or a socket.
#pragma once

#include <span>
#include <string>

#include "base/classic_bpf.h"
#include "base/error.h"
#include "object/object.h"

namespace mimicsh {

struct ClassicOptions {
    abi::ProgType type = abi::ProgType::Xdp; ///< or SchedCls, SocketFilter
    uint32_t hit = 0;                        ///< what the program returns for packets that the filter takes
    uint32_t miss = 0;                       ///< and for all others
    std::string origin = "filter";           ///< for messages
};

/// Text for `assemble` with one program, "filter". It decides about a packet as bpf_filter(3) does about all
/// of its bytes: a load behind the end, and a division by zero, make a miss. ENOTSUP for instructions that
/// only the kernel's sockets know, EINVAL for what is no program.
[[nodiscard]] Expected<std::string> translate_classic(std::span<const ClassicInsn> program,
                                                      const ClassicOptions& options);

/// The same as an object without maps.
[[nodiscard]] Expected<Object> classic_object(std::span<const ClassicInsn> program,
                                              const ClassicOptions& options);

/// One instruction as `tcpdump -d` shows it, without its number: "jeq #0x800 jt 2 jf 5".
[[nodiscard]] std::string classic_text(std::span<const ClassicInsn> program, size_t index);

} // namespace mimicsh
