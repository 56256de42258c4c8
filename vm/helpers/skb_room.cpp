// SPDX-License-Identifier: MIT
// Making a socket buffer longer and shorter at either end and behind its headers (net/core/filter.c).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/skb_call.h"

namespace mimicsh::vm {

namespace {

enum RoomFlag : uint64_t {
    kFixedGso = 1 << 0,
    kEncapIp = 1 << 1,
    kEncapIp6 = 1 << 2,
    kEncapGre = 1 << 3,
    kEncapUdp = 1 << 4,
    kNoCsumReset = 1 << 5,
    kEncapEthernet = 1 << 6,
    kDecapIp = 1 << 7,
    kDecapIp6 = 1 << 8,
};
constexpr uint64_t kDecap = kDecapIp | kDecapIp6;
constexpr uint64_t kEncap = kEncapIp | kEncapIp6;
constexpr uint64_t kInnerMacLength = uint64_t{0xff} << 56;

/// Length of the network header as adjust_room sees it; all bits set for other protocols.
uint32_t base_length(uint16_t protocol) {
    return protocol == kIp ? kIpHeader : protocol == kIp6 ? kIp6Header : ~0u;
}

int64_t grow(SkbCall& call, uint32_t offset, uint32_t bytes, uint64_t flags) {
    if (call.is_gso()) {
        return kNotSupported;
    }
    const auto inner_mac = static_cast<uint32_t>(flags >> 56);
    const bool encap = (flags & kEncap) != 0;
    if (encap) {
        if ((flags & kEncap) == kEncap || ((flags & kEncapGre) != 0 && (flags & kEncapUdp) != 0) ||
            ((flags & kEncapEthernet) != 0 && inner_mac < kEthHeader)) {
            return -EINVAL;
        }
        if (call.skb().encapsulated) {
            return -EALREADY;
        }
        if (inner_mac > bytes) {
            return -EINVAL;
        }
    }
    if (!call.fits(bytes)) {
        return -ENOMEM;
    }
    const uint32_t mac_length = call.mac_length();
    call.push_header(offset, bytes);
    if (encap) {
        call.skb().encapsulated = true;
        call.skb().network = call.packet().start + mac_length;
        if ((flags & (kEncapGre | kEncapUdp)) != 0) {
            const uint32_t header = (flags & kEncapIp6) != 0 ? kIp6Header : kIpHeader;
            call.skb().transport = static_cast<uint16_t>(call.skb().headroom + mac_length + header);
        }
        if (call.protocol() == kIp && (flags & kEncapIp6) != 0) {
            call.set_protocol(kIp6);
        } else if (call.protocol() == kIp6 && (flags & kEncapIp) != 0) {
            call.set_protocol(kIp);
        }
    }
    return 0;
}

int64_t shrink(SkbCall& call, uint32_t offset, uint32_t bytes, uint64_t flags) {
    if ((flags & ~(kFixedGso | kDecap | kNoCsumReset)) != 0) {
        return -EINVAL;
    }
    if (call.is_gso()) {
        return kNotSupported;
    }
    const int64_t result = call.pop_header(offset, bytes);
    if (result < 0) {
        return result;
    }
    if (call.protocol() == kIp && (flags & kDecapIp6) != 0) {
        call.set_protocol(kIp6);
    } else if (call.protocol() == kIp6 && (flags & kDecapIp) != 0) {
        call.set_protocol(kIp);
    }
    return 0;
}

int64_t adjust_room(SkbCall& call, int32_t difference, uint32_t mode, uint64_t flags) {
    constexpr uint64_t kKnown =
        kFixedGso | kEncap | kEncapGre | kEncapUdp | kNoCsumReset | kEncapEthernet | kDecap | kInnerMacLength;
    constexpr uint32_t kMaxDifference = 0xfff;
    constexpr uint32_t kModeNet = 0, kModeMac = 1;
    if ((flags & ~kKnown) != 0) {
        return -EINVAL;
    }
    const bool shrinks = difference < 0;
    const uint32_t bytes =
        shrinks ? 0 - static_cast<uint32_t>(difference) : static_cast<uint32_t>(difference);
    if (bytes > kMaxDifference) {
        return -EFAULT;
    }
    uint32_t shortest = base_length(call.protocol());
    if (shortest == ~0u || mode > kModeMac) {
        return kNotSupported;
    }
    const uint32_t offset = call.mac_length() + (mode == kModeNet ? shortest : 0);
    if ((flags & kDecap) != 0) {
        if (!shrinks || (flags & kDecap) == kDecap) {
            return -EINVAL;
        }
        shortest = (flags & kDecapIp) != 0 ? kIpHeader : kIp6Header;
    }
    const uint32_t now = call.length() - call.network();
    if (shrinks ? bytes >= now || now - bytes < shortest
                : call.length() + bytes > kMaxLength && !call.is_gso()) {
        return kNotSupported;
    }
    const int64_t result = shrinks ? shrink(call, offset, bytes, flags) : grow(call, offset, bytes, flags);
    if (result == 0 && (flags & kNoCsumReset) == 0 && call.skb().ip_summed == IpSummed::Unnecessary) {
        call.skb().ip_summed = IpSummed::None;
        call.skb().csum_level = 0;
    }
    return result;
}

} // namespace

uint64_t helper_skb_change_proto(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kDifference = kIp6Header - kIpHeader;
    SkbCall call(machine, args, "bpf_skb_change_proto");
    if (!call.good()) {
        return 0;
    }
    const uint16_t from = call.protocol();
    const uint16_t to = swapped(static_cast<uint32_t>(args[1]));
    if (args[2] != 0) {
        return call.changed(-EINVAL);
    }
    if (!(from == kIp && to == kIp6) && !(from == kIp6 && to == kIp)) {
        return call.changed(kNotSupported);
    }
    if (to == kIp6) {
        call.push_header(call.mac_length(), kDifference);
    } else if (const int64_t bad = call.pop_header(call.mac_length(), kDifference); bad < 0) {
        return call.changed(bad);
    }
    call.set_protocol(to);
    call.clear_hash();
    return call.changed(0);
}

uint64_t helper_skb_change_tail(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_change_tail");
    if (!call.good()) {
        return 0;
    }
    const auto wanted = static_cast<uint32_t>(args[1]);
    const SkBuffState& skb = machine.skb;
    // __bpf_skb_min_len: the last of the headers that lies behind data.
    const bool has_transport = skb.transport != 0xffff && skb.transport > skb.headroom;
    const uint32_t shortest = has_transport                        ? skb.transport - skb.headroom
                              : skb.network > machine.packet.start ? call.network()
                                                                   : 0;
    if (args[2] != 0 || wanted > kMaxLength || wanted < shortest) {
        return call.changed(-EINVAL);
    }
    if (skb.encapsulated) {
        return call.changed(kNotSupported);
    }
    PacketState& packet = machine.packet;
    packet.paged = 0;
    if (wanted > call.length()) {
        call.make_room(packet.start + wanted);
        std::memset(call.buffer(packet.end), 0, wanted - call.length());
    } else {
        machine.skb.behind = std::max(skb.behind, packet.end);
    }
    packet.end = packet.start + wanted;
    if (call.is_gso()) { // skb_gso_reset
        call.put(kSkbGsoSize, 0);
        call.put(kSkbGsoSegs, 0);
    }
    return call.changed(0);
}

uint64_t helper_skb_change_head(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_change_head");
    if (!call.good()) {
        return 0;
    }
    const auto room = static_cast<uint32_t>(args[1]);
    if (args[2] != 0 || room > INT32_MAX || (!call.is_gso() && call.length() + room > kMaxLength)) {
        return call.changed(-EINVAL);
    }
    if (!call.fits(room)) {
        return call.changed(-ENOMEM);
    }
    call.push(room);
    std::memset(call.data(), 0, room);
    machine.skb.mac = machine.packet.start;
    machine.skb.mac_len = call.mac_length();
    return call.changed(0);
}

uint64_t helper_skb_adjust_room(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_adjust_room");
    return call.good() ? call.changed(adjust_room(call, static_cast<int32_t>(args[1]),
                                                  static_cast<uint32_t>(args[2]), args[3]))
                       : 0;
}

} // namespace mimicsh::vm
