// SPDX-License-Identifier: MIT
// The protocol layout table. A new protocol is one entry in kProtocols and a line in the enum.
#include "net/layout.h"

#include <cstddef>

#include "net/dns.h"
#include "net/layout_dns.h"
#include "net/layout_ip.h"
#include "net/layout_link.h"
#include "net/layout_transport.h"
#include "net/layout_tunnel.h"

namespace mimicsh::net {

namespace {

using namespace tables;

/* -- The table ------------------------------------------------------------ */

constexpr ProtocolLayout with_roles(ProtocolLayout layout) {
    layout.roles.fill(-1);
    for (size_t i = 0; i < layout.fields.size(); i++) {
        layout.roles[static_cast<size_t>(layout.fields[i].role)] = static_cast<int8_t>(i);
        layout.has_optional = layout.has_optional || layout.fields[i].presence >= 0;
    }
    return layout;
}

constexpr ProtocolLayout kProtocols[] = {
    with_roles({.protocol = Protocol::kEth,
                .name = "eth",
                .title = "Ethernet",
                .source = "IEEE 802.3",
                .fields = kEthFields,
                .header_minimum = 14,
                .next = kEtherTypes}),
    with_roles({.protocol = Protocol::kVlan,
                .name = "vlan",
                .title = "802.1Q/802.1ad tag",
                .source = "IEEE 802.1Q",
                .fields = kVlanFields,
                .header_minimum = 4,
                .next = kEtherTypes,
                .summary = "id"}),
    with_roles({.protocol = Protocol::kArp,
                .name = "arp",
                .title = "ARP for Ethernet and IPv4",
                .source = "RFC 826",
                .fields = kArpFields,
                .header_minimum = 28,
                .has_payload = false,
                .summary = "op psrc > pdst"}),
    with_roles({.protocol = Protocol::kIp,
                .name = "ip",
                .title = "IPv4",
                .source = "RFC 791 section 3.1",
                .fields = kIpFields,
                .header_minimum = 20,
                .header_unit = 4,
                .next = kIp4Numbers,
                .options = kIpOptions,
                .checksum = ChecksumRule::kHeader,
                .summary = "src > dst"}),
    with_roles({.protocol = Protocol::kIp6,
                .name = "ip6",
                .title = "IPv6",
                .source = "RFC 8200 section 3",
                .fields = kIp6Fields,
                .header_minimum = 40,
                .length_base = 40,
                .next = kIpNumbers,
                .summary = "src > dst"}),
    with_roles({.protocol = Protocol::kHopOpts,
                .name = "hopopts",
                .title = "IPv6 hop-by-hop options",
                .source = "RFC 8200 section 4.3",
                .fields = kOptionHeaderFields,
                .header_minimum = 8,
                .header_unit = 8,
                .header_base = 8,
                .next = kIpNumbers,
                .options = kIp6Options,
                .option_length_has_head = false}),
    with_roles({.protocol = Protocol::kRouting,
                .name = "routing",
                .title = "IPv6 routing header",
                .source = "RFC 8200 section 4.4",
                .fields = kRoutingFields,
                .header_minimum = 8,
                .header_unit = 8,
                .header_base = 8,
                .next = kIpNumbers}),
    with_roles({.protocol = Protocol::kFragment,
                .name = "fragment",
                .title = "IPv6 fragment header",
                .source = "RFC 8200 section 4.5",
                .fields = kFragmentFields,
                .header_minimum = 8,
                .next = kIpNumbers}),
    with_roles({.protocol = Protocol::kDstOpts,
                .name = "dstopts",
                .title = "IPv6 destination options",
                .source = "RFC 8200 section 4.6",
                .fields = kOptionHeaderFields,
                .header_minimum = 8,
                .header_unit = 8,
                .header_base = 8,
                .next = kIpNumbers,
                .options = kIp6Options,
                .option_length_has_head = false}),
    with_roles({.protocol = Protocol::kIcmp,
                .name = "icmp",
                .title = "ICMP",
                .source = "RFC 792",
                .fields = kIcmpFields,
                .header_minimum = 8,
                .checksum = ChecksumRule::kData,
                .ip_number = 1,
                .summary = "type"}),
    with_roles({.protocol = Protocol::kIcmp6,
                .name = "icmp6",
                .title = "ICMPv6",
                .source = "RFC 4443 section 2.1",
                .fields = kIcmp6Fields,
                .header_minimum = 8,
                .checksum = ChecksumRule::kPseudo,
                .ip_number = 58,
                .summary = "type"}),
    with_roles({.protocol = Protocol::kUdp,
                .name = "udp",
                .title = "UDP",
                .source = "RFC 768",
                .fields = kUdpFields,
                .header_minimum = 8,
                .next = kUdpPorts,
                .checksum = ChecksumRule::kPseudo,
                .ip_number = 17,
                .checksum_optional = true,
                .summary = "sport > dport"}),
    with_roles({.protocol = Protocol::kTcp,
                .name = "tcp",
                .title = "TCP",
                .source = "RFC 9293 section 3.1",
                .fields = kTcpFields,
                .header_minimum = 20,
                .header_unit = 4,
                .options = kTcpOptions,
                .checksum = ChecksumRule::kPseudo,
                .ip_number = 6,
                .summary = "sport > dport flags"}),
    with_roles({.protocol = Protocol::kGre,
                .name = "gre",
                .title = "Generic routing encapsulation",
                .source = "RFC 2784, RFC 2890",
                .fields = kGreFields,
                .header_minimum = 4,
                .next = kGreTypes,
                .checksum = ChecksumRule::kData,
                .summary = "key"}),
    with_roles({.protocol = Protocol::kVxlan,
                .name = "vxlan",
                .title = "VXLAN",
                .source = "RFC 7348 section 5",
                .fields = kVxlanFields,
                .header_minimum = 8,
                .always_next = Protocol::kEth,
                .summary = "vni"}),
    with_roles({.protocol = Protocol::kDns,
                .name = "dns",
                .title = "Domain name system",
                .source = "RFC 1035 section 4.1",
                .fields = kDnsFields,
                .header_minimum = 12,
                .measure = &dns_size,
                .summary = "questions"}),
};

} // namespace

std::span<const ProtocolLayout> protocols() {
    return kProtocols;
}

const ProtocolLayout& layout_of(Protocol protocol) {
    return kProtocols[static_cast<size_t>(protocol)];
}

const ProtocolLayout* find_protocol(std::string_view name) {
    for (const ProtocolLayout& layout : kProtocols) {
        if (layout.name == name) {
            return &layout;
        }
    }
    return nullptr;
}

const Field* find_field(const ProtocolLayout& layout, std::string_view name) {
    for (const Field& field : layout.fields) {
        if (field.name == name || (!name.empty() && field.also == name)) {
            return &field;
        }
    }
    return nullptr;
}

size_t field_index(const ProtocolLayout& layout, const Field& field) {
    return static_cast<size_t>(&field - layout.fields.data());
}

std::optional<Protocol> find_next(const ProtocolLayout& layout, uint64_t value) {
    for (const NextHeader& next : layout.next) {
        if (next.value == value) {
            return next.protocol;
        }
    }
    return std::nullopt;
}

/* -- Fields in bytes ------------------------------------------------------ */

namespace {

bool is_present(const uint8_t* header, const Field& field) {
    return field.presence < 0 || (header[field.presence / 8] >> (7 - field.presence % 8) & 1) != 0;
}

} // namespace

uint16_t header_size_by_flags(const ProtocolLayout& layout, const uint8_t* header) {
    if (!layout.has_optional) {
        return layout.header_minimum;
    }
    unsigned bits = layout.header_minimum * 8U;
    for (const Field& field : layout.fields) {
        bits += field.presence >= 0 && is_present(header, field) ? field.bit_width : 0U;
    }
    return static_cast<uint16_t>(bits / 8);
}

std::optional<Field> place_field(const ProtocolLayout& layout, const uint8_t* header, const Field& field) {
    if (!is_present(header, field)) {
        return std::nullopt;
    }
    Field placed = field;
    for (const Field& before : layout.fields) {
        if (before.bit_offset < field.bit_offset && !is_present(header, before)) {
            placed.bit_offset = static_cast<uint16_t>(placed.bit_offset - before.bit_width);
        }
    }
    return placed;
}

uint64_t load_field(const uint8_t* header, const Field& field) {
    unsigned first = field.bit_offset / 8U;
    unsigned end = (field.bit_offset + field.bit_width + 7U) / 8U;
    uint64_t value = 0;
    if (field.order == ByteOrder::kLittle) {
        for (unsigned i = end; i > first; i--) {
            value = value << 8 | header[i - 1];
        }
        return value;
    }
    // A field of up to 57 bits at any bit offset, or of 64 bits at a byte offset, never overflows.
    for (unsigned i = first; i < end; i++) {
        value = value << 8 | header[i];
    }
    value >>= end * 8 - field.bit_offset - field.bit_width;
    return field.bit_width >= 64 ? value : value & ((uint64_t{1} << field.bit_width) - 1);
}

void store_field(uint8_t* header, const Field& field, uint64_t value) {
    unsigned first = field.bit_offset / 8U;
    unsigned end = (field.bit_offset + field.bit_width + 7U) / 8U;
    if (field.order == ByteOrder::kLittle) {
        for (unsigned i = first; i < end; i++, value >>= 8) {
            header[i] = static_cast<uint8_t>(value);
        }
        return;
    }
    unsigned shift = end * 8 - field.bit_offset - field.bit_width;
    uint64_t mask = (field.bit_width >= 64 ? UINT64_MAX : (uint64_t{1} << field.bit_width) - 1) << shift;
    value = value << shift & mask;
    for (unsigned i = end; i > first; i--, value >>= 8, mask >>= 8) {
        header[i - 1] = static_cast<uint8_t>((header[i - 1] & ~mask) | value);
    }
}

} // namespace mimicsh::net
