// SPDX-License-Identifier: MIT
// VLAN tags: one beside the packet, the others in it; and marking congestion behind them (net/core/skbuff.c).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/csum.h"
#include "vm/helpers/skb_call.h"

namespace mimicsh::vm {

namespace {

/// Takes the tag out of the packet; its TCI, or an errno (__skb_vlan_pop).
int64_t take_tag(SkbCall& call) {
    if (!call.make_writable(kEthHeader + kVlanTag)) {
        return -ENOMEM;
    }
    uint8_t* data = call.data();
    const uint16_t tci = load_be<uint16_t>(data + kEthHeader);
    const uint16_t inner = load_be<uint16_t>(data + kEthHeader + 2);
    const uint16_t behind = mimicsh::load<uint16_t>(data + kEthHeader + kVlanTag);
    std::memmove(data + kVlanTag, data, kMacs);
    constexpr uint16_t kMinProtocol = 0x0600, kRaw8023 = 0x0001, k8022 = 0x0004;
    call.set_protocol(inner >= kMinProtocol ? inner : behind == 0xffff ? kRaw8023 : k8022);
    call.pull(kVlanTag);
    call.skb().mac += kVlanTag;
    if (call.network() < kEthHeader) {
        call.skb().network = call.packet().start + kEthHeader;
    }
    call.skb().mac_len = call.mac_length();
    return tci;
}

/// The tag that the card would put in, kept beside the packet.
void set_card_tag(SkbCall& call, uint16_t protocol, uint16_t tci) {
    call.put(kSkbVlanPresent, 1);
    call.put(kSkbVlanTci, tci);
    call.put(kSkbVlanProto, swapped(protocol));
}

bool is_vlan(uint16_t protocol) {
    return protocol == kVlan || protocol == kVlanAd;
}

/// The protocol behind all tags (skb_protocol with skip_vlan); 0 when the packet ends in them.
uint16_t protocol_behind_tags(SkbCall& call) {
    constexpr uint32_t kMaxTags = 8;
    uint16_t protocol = call.protocol();
    uint32_t at = call.skb().mac_len >= kVlanTag ? call.skb().mac_len - kVlanTag : kEthHeader;
    for (uint32_t tags = 0; is_vlan(protocol); ++tags, at += kVlanTag) {
        if (tags == kMaxTags || !call.has(uint64_t{at} + kVlanTag)) {
            return 0;
        }
        protocol = load_be<uint16_t>(call.data() + at + 2);
    }
    return protocol;
}

} // namespace

uint64_t helper_skb_vlan_push(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_vlan_push");
    if (!call.good()) {
        return 0;
    }
    const uint16_t wanted = swapped(static_cast<uint32_t>(args[1]));
    if (call.get(kSkbVlanPresent) != 0) {
        // The tag that was kept beside the packet goes into it.
        const uint16_t protocol = swapped(call.get(kSkbVlanProto));
        if (!call.fits(kVlanTag)) {
            return call.changed(-ENOMEM);
        }
        call.push(kVlanTag);
        call.make_room(call.packet().start + kMacs + kVlanTag); // the packet may be shorter
        uint8_t* data = call.data();
        std::memmove(data, data + kVlanTag, kMacs);
        store_be(data + kMacs, protocol);
        store_be(data + kMacs + 2, static_cast<uint16_t>(call.get(kSkbVlanTci)));
        machine.skb.mac -= kVlanTag;
        machine.skb.network -= kVlanTag; // at the tag, not at what is behind it
        call.set_protocol(protocol);
    }
    set_card_tag(call, is_vlan(wanted) ? wanted : kVlan, static_cast<uint16_t>(args[2]));
    machine.skb.mac_len = call.mac_length();
    return call.changed(0);
}

uint64_t helper_skb_vlan_pop(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_vlan_pop");
    if (!call.good()) {
        return 0;
    }
    if (call.get(kSkbVlanPresent) != 0) {
        call.put(kSkbVlanPresent, 0);
        call.put(kSkbVlanTci, 0);
        call.put(kSkbVlanProto, 0);
    } else {
        if (!is_vlan(call.protocol())) {
            return call.changed(0);
        }
        if (const int64_t taken = take_tag(call); taken < 0) {
            return call.changed(taken);
        }
    }
    // A tag that is in the packet behind it comes to stand beside it.
    const uint16_t protocol = call.protocol();
    if (!is_vlan(protocol)) {
        return call.changed(0);
    }
    const int64_t tci = take_tag(call);
    if (tci < 0) {
        return call.changed(tci);
    }
    set_card_tag(call, protocol, static_cast<uint16_t>(tci));
    return call.changed(0);
}

uint64_t helper_skb_ecn_set_ce(Machine& machine, const uint64_t* args) {
    constexpr uint8_t kCe = 3;
    SkbCall call(machine, args, "bpf_skb_ecn_set_ce");
    if (!call.good()) {
        return 0;
    }
    const uint16_t protocol = protocol_behind_tags(call);
    const uint32_t header = protocol == kIp ? kIpHeader : protocol == kIp6 ? kIp6Header : 0;
    if (header == 0 || call.linear_length() < header ||
        uint64_t{machine.skb.network} + header > machine.packet.linear_end()) {
        return call.done(0);
    }
    uint8_t* ip = call.buffer(machine.skb.network);
    if (protocol == kIp6) {
        const bool capable = (ip[1] >> 4 & kCe) != 0;
        ip[1] |= capable ? kCe << 4 : 0;
        return call.done(capable ? 1 : 0);
    }
    const uint8_t ecn = ip[1] & kCe;
    if (ecn == 0 || ecn == kCe) {
        return call.done(ecn == kCe ? 1 : 0);
    }
    // The sum grows by what the two bits grow by.
    const uint16_t grown = __builtin_bswap16(static_cast<uint16_t>(0xfffb + ecn + 1));
    mimicsh::store(ip + 10, csum16_add(mimicsh::load<uint16_t>(ip + 10), grown));
    ip[1] |= kCe;
    return call.done(1);
}

} // namespace mimicsh::vm
