// SPDX-License-Identifier: MIT
// Bytes and numbers of socket buffers (net/core/filter.c). Helpers that the kernel counts as changing the
// packet make packet pointers stale whatever they return, as the verifier has it.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/skb_call.h"
#include "vm/program.h"

namespace mimicsh::vm {

// -- Bytes --

int64_t store_in_skb(Machine& machine, uint32_t offset, const uint8_t* from, uint32_t size, uint64_t flags) {
    constexpr uint64_t kRecompute = 1, kInvalidateHash = 2;
    SkbCall call(machine, "bpf_skb_store_bytes");
    if ((flags & ~(kRecompute | kInvalidateHash)) != 0) {
        return -EINVAL;
    }
    if (offset > INT32_MAX || !call.make_writable(uint64_t{offset} + size)) {
        return -EFAULT;
    }
    std::memmove(call.data() + offset, from, size);
    if ((flags & kInvalidateHash) != 0) {
        call.clear_hash();
    }
    return 0;
}

uint64_t helper_skb_store_bytes(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_store_bytes");
    const auto size = static_cast<uint32_t>(args[3]);
    const uint8_t* from = call.good() ? machine.span(args[2], size, Access::Read, "bytes to store") : nullptr;
    if (from == nullptr) {
        return 0;
    }
    if (size == 0) {
        return machine.fault(FaultKind::BadCall, "bpf_skb_store_bytes: length is 0, the kernel refuses it");
    }
    return call.changed(store_in_skb(machine, static_cast<uint32_t>(args[1]), from, size, args[4]));
}

namespace {

/// Copies `size` bytes at a place of the buffer to the program; zeroes and -EFAULT when they do not all lie
/// before `end`.
uint64_t load_at(Machine& machine, SkbCall& call, uint64_t place, uint64_t to, uint64_t size, uint32_t end) {
    uint8_t* bytes = machine.span(to, size, Access::Write, "buffer");
    if (bytes == nullptr) {
        return 0;
    }
    if (place + size > end) {
        std::memset(bytes, 0, size);
        return call.done(-EFAULT);
    }
    std::memmove(bytes, call.buffer(static_cast<uint32_t>(place)), size);
    return call.done(0);
}

} // namespace

uint64_t helper_skb_load_bytes(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_load_bytes");
    const auto offset = static_cast<uint32_t>(args[1]);
    // A test run of a flow dissector has bytes but no buffer to load from.
    const bool is_dissector = machine.code->program->linked().spec.type == abi::ProgType::FlowDissector;
    return call.good() ? load_at(machine, call, uint64_t{machine.packet.start} + offset, args[2],
                                 static_cast<uint32_t>(args[3]),
                                 offset <= INT32_MAX && !is_dissector ? machine.packet.end : 0)
                       : 0;
}

uint64_t helper_skb_load_bytes_relative(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kMaxOffset = 0xffff;
    constexpr uint32_t kFromMac = 0, kFromNetwork = 1;
    SkbCall call(machine, args, "bpf_skb_load_bytes_relative");
    const auto offset = static_cast<uint32_t>(args[1]);
    const auto base = static_cast<uint32_t>(args[4]);
    const uint32_t start = base == kFromMac ? machine.skb.mac : machine.skb.network;
    return call.good()
               ? load_at(machine, call, uint64_t{start} + offset, args[2], static_cast<uint32_t>(args[3]),
                         offset <= kMaxOffset && base <= kFromNetwork ? machine.packet.linear_end() : 0)
               : 0;
}

uint64_t helper_skb_pull_data(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_pull_data");
    return call.good() ? call.changed(call.make_writable(static_cast<uint32_t>(args[1])) ? 0 : -ENOMEM) : 0;
}

// -- Numbers --

uint64_t helper_skb_change_type(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kOtherHost = 3;
    SkbCall call(machine, args, "bpf_skb_change_type");
    if (!call.good()) {
        return 0;
    }
    const auto type = static_cast<uint32_t>(args[1]);
    if (call.get(kSkbPktType) > kOtherHost || type > kOtherHost) {
        return call.done(-EINVAL);
    }
    call.put(kSkbPktType, type);
    return call.done(0);
}

uint64_t helper_set_hash_invalid(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_set_hash_invalid");
    if (call.good()) {
        call.clear_hash();
    }
    return call.done(0);
}

namespace {

/// One end of a flow: address and port.
using Endpoint = std::array<uint8_t, 18>;

/// The flow that a packet belongs to, whichever way it goes: what the kernel's dissector keys on as far as
/// addresses, protocol and ports go.
std::array<uint8_t, 40> flow_of(SkbCall& call) {
    constexpr uint8_t kTcp = 6, kUdp = 17;
    std::array<uint8_t, 40> flow{};
    store_be(flow.data(), call.protocol());
    const uint32_t header = call.protocol() == kIp ? kIpHeader : call.protocol() == kIp6 ? kIp6Header : 0;
    const uint32_t end = call.packet().end - call.packet().start;
    const uint64_t start = call.network();
    if (header == 0 || start + header > end) {
        return flow;
    }
    const uint8_t* ip = call.data() + start;
    const bool v6 = header == kIp6Header;
    const uint32_t size = v6 ? 16 : 4;
    const uint8_t* addresses = ip + (v6 ? 8 : 12);
    const uint8_t protocol = v6 ? ip[6] : ip[9];
    const uint64_t ports = start + (v6 ? header : (ip[0] & 0xfu) * 4u);
    const bool is_fragment = !v6 && (load_be<uint16_t>(ip + 6) & 0x3fff) != 0;
    Endpoint ends[2]{};
    for (uint32_t i = 0; i < 2; ++i) {
        std::copy_n(addresses + i * size, size, ends[i].begin());
        if ((protocol == kTcp || protocol == kUdp) && !is_fragment && ports + 4 <= end) {
            std::copy_n(call.data() + ports + i * 2, 2, ends[i].begin() + 16);
        }
    }
    if (ends[1] < ends[0]) {
        std::swap(ends[0], ends[1]);
    }
    flow[2] = protocol;
    std::ranges::copy(ends[0], flow.begin() + 3);
    std::ranges::copy(ends[1], flow.begin() + 21);
    return flow;
}

} // namespace

/// The kernel hashes with a key of its own for each boot; this is FNV-1a, the same everywhere.
uint64_t helper_get_hash_recalc(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_get_hash_recalc");
    if (!call.good()) {
        return 0;
    }
    if (!machine.skb.has_hash) {
        uint32_t hash = 0x811c9dc5;
        for (const uint8_t byte : flow_of(call)) {
            hash = (hash ^ byte) * 0x01000193;
        }
        call.put(kSkbHash, std::max(hash, 1u));
        machine.skb.has_hash = true;
    }
    return call.done(call.get(kSkbHash));
}

uint64_t helper_set_hash(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_set_hash");
    if (call.good()) {
        call.put(kSkbHash, static_cast<uint32_t>(args[1]));
        machine.skb.has_hash = true;
    }
    return call.done(0);
}

uint64_t helper_skb_set_tstamp(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kRealtime = 0, kTai = 2; // and 1, monotonic
    SkbCall call(machine, args, "bpf_skb_set_tstamp");
    if (!call.good()) {
        return 0;
    }
    if (call.protocol() != kIp && call.protocol() != kIp6) {
        return call.done(-EOPNOTSUPP);
    }
    const uint64_t stamp = args[1];
    const auto type = static_cast<uint32_t>(args[2]);
    if (type > kTai || (type != kRealtime && stamp == 0)) {
        return call.done(-EINVAL);
    }
    mimicsh::store(machine.context_image.data() + kSkbTstamp, stamp);
    machine.context_image[kSkbTstampType] = static_cast<uint8_t>(type);
    return call.done(0);
}

} // namespace mimicsh::vm
