// SPDX-License-Identifier: MIT
// Headers that lightweight tunnels put in front (net/core/lwt_bpf.c).
#include <algorithm>
#include <array>
#include <cerrno>

#include "vm/helpers/csum.h"
#include "vm/helpers/skb_call.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kMaxHeaders = 256; ///< LWT_BPF_MAX_HEADROOM

/// The IP version that the headers begin with; 0 when they cannot be put in front.
uint8_t version_of(const uint8_t* headers, uint32_t size) {
    if (size < kIpHeader || size > kMaxHeaders) {
        return 0;
    }
    const uint8_t version = headers[0] >> 4;
    const uint32_t needed = version == 4 ? (headers[0] & 0xfu) * 4 : version == 6 ? kIp6Header : UINT32_MAX;
    return size >= needed ? version : 0;
}

/// ip_fast_csum of x86-64: for a header that says it is shorter than 20 bytes it is the first two bytes.
uint16_t header_checksum(const uint8_t* ip) {
    const uint32_t words = ip[0] & 0xfu;
    if (words <= 4) {
        return mimicsh::load<uint16_t>(ip);
    }
    uint32_t sum = 0;
    for (uint32_t at = 0; at < words * 4; at += 2) {
        sum += mimicsh::load<uint16_t>(ip + at);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~((sum & 0xffff) + (sum >> 16)));
}

int64_t push_ip(SkbCall& call, const uint8_t* headers, uint32_t size) {
    constexpr uint32_t kCheck = 10;
    const uint8_t version = version_of(headers, size);
    if (version == 0) {
        return -EINVAL;
    }
    std::array<uint8_t, kMaxHeaders> copied; // they may lie in the packet, which moves
    std::copy_n(headers, size, copied.begin());
    call.push(size);
    std::copy_n(copied.begin(), size, call.data());
    call.skb().encapsulated = true;
    call.skb().network = call.packet().start;
    call.clear_hash();
    call.set_protocol(version == 4 ? kIp : kIp6);
    uint8_t* ip = call.data();
    if (version == 4 && mimicsh::load<uint16_t>(ip + kCheck) == 0) {
        mimicsh::store(ip + kCheck, header_checksum(ip));
    }
    return call.is_gso() ? kNotSupported : 0; // a test run makes such buffers without their type
}

} // namespace

uint64_t helper_lwt_push_encap(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kSegments = 0, kSegmentsInline = 1, kIpHeaders = 2;
    SkbCall call(machine, args, "bpf_lwt_push_encap");
    const auto type = static_cast<uint32_t>(args[1]);
    const auto size = static_cast<uint32_t>(args[3]);
    const uint8_t* headers = call.good() ? machine.span(args[2], size, Access::Read, "headers") : nullptr;
    if (headers == nullptr) {
        return 0;
    }
    const bool is_in = machine.code->program->linked().spec.type == abi::ProgType::LwtIn;
    if (is_in && (type == kSegments || type == kSegmentsInline)) {
        return machine.fault(FaultKind::BadCall,
                             "bpf_lwt_push_encap: segment routing (IPv6) is not emulated");
    }
    return call.changed(type == kIpHeaders ? push_ip(call, headers, size) : -EINVAL);
}

} // namespace mimicsh::vm
