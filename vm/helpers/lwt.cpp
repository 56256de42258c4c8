// SPDX-License-Identifier: MIT
// Headers that lightweight tunnels put in front (net/core/lwt_bpf.c, net/core/filter.c), segment routing's
// too (net/ipv6/seg6.c, seg6_iptunnel.c, seg6_local.c; RFC 8754).
#include <algorithm>
#include <array>
#include <cerrno>

#include "vm/helpers/csum.h"
#include "vm/helpers/routes.h"
#include "vm/helpers/skb_call.h"
#include "vm/program.h"
#include "vm/world.h"

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
    if (!call.fits(size)) {
        return -ENOMEM;
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

// -- Segment routing --

constexpr uint32_t kMaxSegmentHeader = 2048; ///< its length field has 8 bits, in units of 8
constexpr uint32_t kIp6Length = 4, kIp6Next = 6, kIp6HopLimit = 7; ///< in the IPv6 header
constexpr uint32_t kIp6Source = 8, kIp6Destination = 24;
constexpr uint32_t kIpDestination = 16; ///< in the IPv4 header
constexpr uint8_t kRoutingHeader = 43;  ///< NEXTHDR_ROUTING

/// A segment routing header as the program gave it; read where the length allows it.
class SegmentHeader {
  public:
    SegmentHeader(const uint8_t* bytes, uint32_t size) : size_(size) {
        std::copy_n(bytes, std::min(size, kMaxSegmentHeader), bytes_.begin());
    }

    /// seg6_validate_srh
    [[nodiscard]] bool is_valid() const {
        constexpr uint8_t kType = 4;
        if (size_ < kFixed || size_ > kMaxSegmentHeader || bytes_[kRoutingType] != kType ||
            (bytes_[kLength] + 1u) * 8 != size_ || bytes_[kSegmentsLeft] > bytes_[kLast] ||
            bytes_[kLast] >= bytes_[kLength] / 2) {
            return false;
        }
        uint32_t at = kFixed + (bytes_[kLast] + 1u) * kSegment;
        while (at < size_ && size_ - at >= kTlv) {
            at += kTlv + bytes_[at + 1];
        }
        return at == size_;
    }
    [[nodiscard]] uint32_t size() const { return size_; }
    /// The place of the segment to visit first.
    [[nodiscard]] uint32_t first() const { return kFixed + bytes_[kLast] * kSegment; }
    /// What asking for an HMAC comes to where no key is configured (seg6_push_hmac); 0: none is asked for.
    [[nodiscard]] int64_t hmac() const {
        constexpr uint8_t kHasHmac = 8, kHmacType = 5, kHmacLength = 38;
        if ((bytes_[kFlags] & kHasHmac) == 0) {
            return 0;
        }
        constexpr uint32_t kHmacSize = kHmacLength + kTlv;
        if (bytes_[kLength] < (bytes_[kLast] + 1) * 2 + kHmacSize / 8) {
            return -EINVAL;
        }
        const uint8_t* tlv = bytes_.data() + size_ - kHmacSize;
        return tlv[0] == kHmacType && tlv[1] == kHmacLength ? -ENOENT : -EINVAL;
    }
    /// Writes it, with another header to follow.
    void put(uint8_t* to, uint8_t next) const {
        std::copy_n(bytes_.begin(), size_, to);
        to[0] = next;
    }
    static constexpr uint32_t kFixed = 8; ///< before the segments

  private:
    static constexpr uint32_t kLength = 1, kRoutingType = 2, kSegmentsLeft = 3, kLast = 4, kFlags = 5;
    static constexpr uint32_t kSegment = 16, kTlv = 2;
    uint32_t size_;
    std::array<uint8_t, kMaxSegmentHeader> bytes_{};
};

using Ip6Header = std::array<uint8_t, kIp6Header>;

/// The packet's first bytes; behind its end the kernel finds zeroes.
Ip6Header first_bytes(SkbCall& call) {
    Ip6Header header{};
    std::copy_n(call.data(), std::min(call.length(), kIp6Header), header.begin());
    return header;
}

IpAddress address_in(const uint8_t* bytes, bool v6) {
    IpAddress address;
    address.v6 = v6;
    std::copy_n(bytes, address.size(), address.bytes.begin());
    return address;
}

/// Writes the outer header's destination and, when an HMAC does not end it before, its length.
int64_t finish(SkbCall& call, const SegmentHeader& segments) {
    uint8_t* ip = call.data();
    std::copy_n(ip + kIp6Header + segments.first(), 16, ip + kIp6Destination);
    const int64_t bad = segments.hmac();
    if (bad == 0) {
        mimicsh::store(ip + kIp6Length, swapped(call.length() - kIp6Header));
    }
    return bad;
}

void push_network(SkbCall& call, uint32_t bytes) {
    call.push(bytes);
    call.skb().network = call.packet().start;
    call.skb().mac = call.packet().start - call.skb().mac_len;
}

/// __seg6_do_srh_inline: the header goes between the packet's own and what follows that.
int64_t push_inline(SkbCall& call, const SegmentHeader& segments) {
    if (call.protocol() != kIp6) {
        return -EBADMSG;
    }
    if (!call.fits(segments.size())) {
        return -ENOMEM;
    }
    const Ip6Header old = first_bytes(call);
    if (call.has(kIp6Header)) {
        call.pull(kIp6Header);
    }
    push_network(call, kIp6Header + segments.size());
    uint8_t* ip = call.data();
    std::copy(old.begin(), old.end(), ip);
    segments.put(ip + kIp6Header, old[kIp6Next]);
    ip[kIp6Next] = kRoutingHeader;
    std::copy_n(old.begin() + kIp6Destination, 16, ip + kIp6Header + SegmentHeader::kFixed);
    return finish(call, segments);
}

/// The interface of the packet's route, the one that the program hangs on or, for a second header, the one
/// that the first led to. Null: none, as of routes that lead nowhere; with a fault where the world lacks it.
const World::Interface* own_interface(Machine& machine, SkbCall& call, const Ip6Header& inner) {
    const World& world = machine.world();
    if (!machine.given(world.interfaces, "world.interfaces") ||
        !machine.given(world.routes, "world.routes")) {
        return nullptr;
    }
    const bool v6 = call.protocol() == kIp6;
    const World::Route* route = nullptr;
    if (v6 || call.protocol() == kIp) {
        const uint32_t at = v6 ? kIp6Destination : kIpDestination;
        route = route_to(world, {address_in(inner.data() + at, v6), machine.device_index()});
    }
    if (route == nullptr && !call.skb().encapsulated) {
        machine.fault(FaultKind::MissingValue,
                      "the scripted world has no route to the packet's destination (world.routes), by which "
                      "bpf_lwt_push_encap chooses the outer source",
                      "give it at load: load(\"vm\", {world = {...}})");
        return nullptr;
    }
    const World::Interface* out = route == nullptr ? nullptr : world.find_interface(route->interface);
    return out == nullptr || machine.given(out->addresses, out->path + ".addresses") ? out : nullptr;
}

/// __seg6_do_srh_encap: an outer header and this one in front.
int64_t push_outer(Machine& machine, SkbCall& call, const SegmentHeader& segments) {
    constexpr uint8_t kInner = 41, kHopLimit = 64; // IPPROTO_IPV6 whatever is inside; devconf_all->hop_limit
    const Ip6Header inner = first_bytes(call);
    const World::Interface* out = own_interface(machine, call, inner);
    if (machine.faulted()) {
        return 0;
    }
    call.skb().encapsulated = true;
    if (!call.fits(kIp6Header + segments.size())) {
        return -ENOMEM;
    }
    push_network(call, kIp6Header + segments.size());
    uint8_t* ip = call.data();
    std::fill_n(ip, kIp6Header, uint8_t{0});
    ip[0] = 0x60;
    ip[kIp6HopLimit] = kHopLimit;
    if (call.protocol() == kIp6) { // traffic class, flow label and hop limit are the inner ones
        std::copy_n(inner.begin(), 4, ip);
        ip[0] = static_cast<uint8_t>(0x60 | (inner[0] & 0xf));
        ip[kIp6HopLimit] = inner[kIp6HopLimit];
    }
    ip[kIp6Next] = kRoutingHeader;
    segments.put(ip + kIp6Header, kInner);
    const IpAddress first = address_in(ip + kIp6Header + segments.first(), true);
    if (const IpPrefix* source = source_address(machine.world(), out, first, {}); source != nullptr) {
        std::copy_n(source->address.bytes.begin(), 16, ip + kIp6Source);
    }
    return finish(call, segments);
}

/// seg6_lookup_nexthop: where the packet goes next. What is for this machine itself goes nowhere.
int64_t next_hop(Machine& machine, SkbCall& call) {
    const World& world = machine.world();
    if (!machine.given(world.interfaces, "world.interfaces") ||
        !machine.given(world.routes, "world.routes")) {
        return 0;
    }
    const IpAddress to = address_in(call.data() + kIp6Destination, true);
    const World::Route* route = route_to(world, {to, machine.device_index()});
    if (route == nullptr) {
        return -ENETUNREACH;
    }
    switch (route->type) {
    case RouteType::Unicast:
        return world.find_interface(route->interface)->name == "lo" ? -EINVAL : 0;
    case RouteType::Unreachable:
        return -EHOSTUNREACH;
    case RouteType::Prohibit:
        return -EACCES;
    default:
        return -EINVAL;
    }
}

int64_t push_segments(Machine& machine, SkbCall& call, const SegmentHeader& segments, bool in_line) {
    if (!segments.is_valid()) {
        return -EINVAL;
    }
    if (const int64_t bad = in_line ? push_inline(call, segments) : push_outer(machine, call, segments);
        bad != 0 || machine.faulted()) {
        return bad;
    }
    call.skb().transport = static_cast<uint16_t>(call.skb().headroom + kIp6Header);
    return next_hop(machine, call);
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
        return call.changed(
            push_segments(machine, call, SegmentHeader(headers, size), type == kSegmentsInline));
    }
    return call.changed(type == kIpHeaders ? push_ip(call, headers, size) : -EINVAL);
}

} // namespace mimicsh::vm
