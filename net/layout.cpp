// SPDX-License-Identifier: MIT
// The protocol layout table. A new protocol is one entry in kProtocols and a line in the enum.
#include "net/layout.h"

#include <cstddef>

namespace mimicsh::net {

namespace {

using Kind = FieldKind;
using Role = FieldRole;

/* -- Numbers that name protocols ------------------------------------------ */

constexpr NextHeader kEtherTypes[] = {
    {0x0800, Protocol::kIp},   {0x86dd, Protocol::kIp6},  {0x0806, Protocol::kArp},
    {0x8100, Protocol::kVlan}, {0x88a8, Protocol::kVlan},
};
constexpr NamedValue kEtherTypeNames[] = {{0x0800, "ip"},   {0x86dd, "ip6"},  {0x0806, "arp"},
                                          {0x8100, "vlan"}, {0x88a8, "qinq"}, {0x8847, "mpls"},
                                          {0x88cc, "lldp"}};
constexpr NextHeader kIpNumbers[] = {
    {1, Protocol::kIcmp},    {6, Protocol::kTcp},      {17, Protocol::kUdp},      {58, Protocol::kIcmp6},
    {0, Protocol::kHopOpts}, {43, Protocol::kRouting}, {44, Protocol::kFragment}, {60, Protocol::kDstOpts},
};
constexpr NamedValue kIpNumberNames[] = {
    {1, "icmp"},     {2, "igmp"},      {4, "ipip"},     {6, "tcp"},    {17, "udp"},   {41, "ip6"},
    {47, "gre"},     {50, "esp"},      {51, "ah"},      {58, "icmp6"}, {59, "none"},  {0, "hopopts"},
    {43, "routing"}, {44, "fragment"}, {60, "dstopts"}, {89, "ospf"},  {132, "sctp"},
};
// IPv4 knows no extension headers; these numbers are not followed below it.
constexpr NextHeader kIp4Numbers[] = {
    {1, Protocol::kIcmp},
    {6, Protocol::kTcp},
    {17, Protocol::kUdp},
    {58, Protocol::kIcmp6},
};

/* -- Link layer ----------------------------------------------------------- */

constexpr Field kEthFields[] = {
    {.name = "dst", .bit_offset = 0, .bit_width = 48, .kind = Kind::kMac, .default_value = 0x020000000002},
    {.name = "src", .bit_offset = 48, .bit_width = 48, .kind = Kind::kMac, .default_value = 0x020000000001},
    {.name = "type",
     .bit_offset = 96,
     .bit_width = 16,
     .kind = Kind::kHex,
     .default_value = 0x9000,
     .role = Role::kNextHeader,
     .names = kEtherTypeNames},
};

constexpr Field kVlanFields[] = {
    {.name = "prio", .bit_offset = 0, .bit_width = 3, .kind = Kind::kUint, .also = "pcp"},
    {.name = "dei", .bit_offset = 3, .bit_width = 1, .kind = Kind::kUint},
    {.name = "id", .bit_offset = 4, .bit_width = 12, .kind = Kind::kUint, .default_value = 1, .also = "vid"},
    {.name = "type",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kHex,
     .default_value = 0x9000,
     .role = Role::kNextHeader,
     .names = kEtherTypeNames},
};

constexpr NamedValue kArpOps[] = {{1, "request"}, {2, "reply"}};
constexpr Field kArpFields[] = {
    {.name = "hwtype", .bit_offset = 0, .bit_width = 16, .kind = Kind::kUint, .default_value = 1},
    {.name = "ptype",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kHex,
     .default_value = 0x0800,
     .names = kEtherTypeNames},
    {.name = "hwlen",
     .bit_offset = 32,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 6,
     .role = Role::kFixed},
    {.name = "plen",
     .bit_offset = 40,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 4,
     .role = Role::kFixed},
    {.name = "op",
     .bit_offset = 48,
     .bit_width = 16,
     .kind = Kind::kUint,
     .default_value = 1,
     .names = kArpOps},
    {.name = "hwsrc", .bit_offset = 64, .bit_width = 48, .kind = Kind::kMac, .default_value = 0x020000000001},
    {.name = "psrc", .bit_offset = 112, .bit_width = 32, .kind = Kind::kIp4, .default_value = 0xc0000201},
    {.name = "hwdst", .bit_offset = 144, .bit_width = 48, .kind = Kind::kMac},
    {.name = "pdst", .bit_offset = 192, .bit_width = 32, .kind = Kind::kIp4, .default_value = 0xc0000202},
};

/* -- IPv4 ----------------------------------------------------------------- */

constexpr NamedValue kIpFlags[] = {{4, "rb"}, {2, "df"}, {1, "mf"}};
constexpr OptionLayout kIpOptions[] = {
    {.kind = 0, .name = "eol", .is_single = true},
    {.kind = 1, .name = "nop", .is_single = true},
    {.kind = 7, .name = "rr"},
    {.kind = 68, .name = "ts"},
    {.kind = 130, .name = "sec"},
    {.kind = 131, .name = "lsrr"},
    {.kind = 137, .name = "ssrr"},
    {.kind = 148, .name = "ra", .width = 2},
};
constexpr Field kIpFields[] = {
    {.name = "version",
     .bit_offset = 0,
     .bit_width = 4,
     .kind = Kind::kUint,
     .default_value = 4,
     .role = Role::kFixed},
    {.name = "ihl",
     .bit_offset = 4,
     .bit_width = 4,
     .kind = Kind::kUint,
     .default_value = 5,
     .role = Role::kHeaderLength},
    {.name = "tos", .bit_offset = 8, .bit_width = 8, .kind = Kind::kHex},
    {.name = "dscp", .bit_offset = 8, .bit_width = 6, .kind = Kind::kUint, .is_view = true},
    {.name = "ecn", .bit_offset = 14, .bit_width = 2, .kind = Kind::kUint, .is_view = true},
    {.name = "len",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kUint,
     .role = Role::kLength,
     .also = "length"},
    {.name = "id", .bit_offset = 32, .bit_width = 16, .kind = Kind::kUint},
    {.name = "flags", .bit_offset = 48, .bit_width = 3, .kind = Kind::kFlags, .names = kIpFlags},
    {.name = "mf",
     .bit_offset = 50,
     .bit_width = 1,
     .kind = Kind::kUint,
     .role = Role::kMore,
     .is_view = true},
    {.name = "frag", .bit_offset = 51, .bit_width = 13, .kind = Kind::kUint, .role = Role::kFragment},
    {.name = "ttl", .bit_offset = 64, .bit_width = 8, .kind = Kind::kUint, .default_value = 64},
    {.name = "proto",
     .bit_offset = 72,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 253,
     .role = Role::kNextHeader,
     .names = kIpNumberNames,
     .also = "protocol"},
    {.name = "checksum",
     .bit_offset = 80,
     .bit_width = 16,
     .kind = Kind::kHex,
     .role = Role::kChecksum,
     .also = "chksum"},
    {.name = "src", .bit_offset = 96, .bit_width = 32, .kind = Kind::kIp4, .default_value = 0xc0000201},
    {.name = "dst", .bit_offset = 128, .bit_width = 32, .kind = Kind::kIp4, .default_value = 0xc0000202},
    {.name = "options", .bit_offset = 160, .bit_width = 0, .kind = Kind::kOptions},
};

/* -- IPv6 and its extension headers --------------------------------------- */

// Default addresses are 2001:db8::1 and ::2; a default of 128 bits is the documentation prefix plus the
// value.
constexpr Field kIp6Fields[] = {
    {.name = "version",
     .bit_offset = 0,
     .bit_width = 4,
     .kind = Kind::kUint,
     .default_value = 6,
     .role = Role::kFixed},
    {.name = "tclass", .bit_offset = 4, .bit_width = 8, .kind = Kind::kHex, .also = "tc"},
    {.name = "dscp", .bit_offset = 4, .bit_width = 6, .kind = Kind::kUint, .is_view = true},
    {.name = "ecn", .bit_offset = 10, .bit_width = 2, .kind = Kind::kUint, .is_view = true},
    {.name = "flow", .bit_offset = 12, .bit_width = 20, .kind = Kind::kHex, .also = "fl"},
    {.name = "len",
     .bit_offset = 32,
     .bit_width = 16,
     .kind = Kind::kUint,
     .role = Role::kLength,
     .also = "plen"},
    {.name = "next",
     .bit_offset = 48,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 59,
     .role = Role::kNextHeader,
     .names = kIpNumberNames,
     .also = "nh"},
    {.name = "hlim",
     .bit_offset = 56,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 64,
     .also = "hop_limit"},
    {.name = "src", .bit_offset = 64, .bit_width = 128, .kind = Kind::kIp6, .default_value = 1},
    {.name = "dst", .bit_offset = 192, .bit_width = 128, .kind = Kind::kIp6, .default_value = 2},
};

constexpr OptionLayout kIp6Options[] = {
    {.kind = 0, .name = "pad1", .is_single = true},
    {.kind = 1, .name = "padn"},
    {.kind = 5, .name = "ra", .width = 2},
    {.kind = 0xc2, .name = "jumbo", .width = 4},
    {.kind = 0xc9, .name = "home"},
};
constexpr Field kOptionHeaderFields[] = {
    {.name = "next",
     .bit_offset = 0,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 59,
     .role = Role::kNextHeader,
     .names = kIpNumberNames,
     .also = "nh"},
    {.name = "len", .bit_offset = 8, .bit_width = 8, .kind = Kind::kUint, .role = Role::kHeaderLength},
    {.name = "options", .bit_offset = 16, .bit_width = 0, .kind = Kind::kOptions},
};
constexpr Field kRoutingFields[] = {
    {.name = "next",
     .bit_offset = 0,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 59,
     .role = Role::kNextHeader,
     .names = kIpNumberNames,
     .also = "nh"},
    {.name = "len", .bit_offset = 8, .bit_width = 8, .kind = Kind::kUint, .role = Role::kHeaderLength},
    {.name = "type", .bit_offset = 16, .bit_width = 8, .kind = Kind::kUint},
    {.name = "left", .bit_offset = 24, .bit_width = 8, .kind = Kind::kUint, .also = "segleft"},
    {.name = "data", .bit_offset = 32, .bit_width = 0, .kind = Kind::kBytes},
};
constexpr Field kFragmentFields[] = {
    {.name = "next",
     .bit_offset = 0,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 59,
     .role = Role::kNextHeader,
     .names = kIpNumberNames,
     .also = "nh"},
    {.name = "reserved", .bit_offset = 8, .bit_width = 8, .kind = Kind::kUint},
    {.name = "frag",
     .bit_offset = 16,
     .bit_width = 13,
     .kind = Kind::kUint,
     .role = Role::kFragment,
     .also = "offset"},
    {.name = "reserved2", .bit_offset = 29, .bit_width = 2, .kind = Kind::kUint},
    {.name = "more",
     .bit_offset = 31,
     .bit_width = 1,
     .kind = Kind::kUint,
     .role = Role::kMore,
     .also = "mf"},
    {.name = "id", .bit_offset = 32, .bit_width = 32, .kind = Kind::kHex},
};

/* -- ICMP ----------------------------------------------------------------- */

constexpr NamedValue kIcmpTypes[] = {
    {0, "echo-reply"},   {3, "unreachable"},    {5, "redirect"},
    {8, "echo-request"}, {11, "time-exceeded"}, {12, "parameter"},
};
constexpr NamedValue kIcmp6Types[] = {
    {1, "unreachable"},
    {2, "too-big"},
    {3, "time-exceeded"},
    {4, "parameter"},
    {128, "echo-request"},
    {129, "echo-reply"},
    {130, "listener-query"},
    {133, "router-solicitation"},
    {134, "router-advertisement"},
    {135, "neighbor-solicitation"},
    {136, "neighbor-advertisement"},
    {143, "listener-report"},
};
// The second word means different things per type; id and seq are the echo's, the views serve the others.
constexpr Field kIcmpFields[] = {
    {.name = "type",
     .bit_offset = 0,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 8,
     .names = kIcmpTypes},
    {.name = "code", .bit_offset = 8, .bit_width = 8, .kind = Kind::kUint},
    {.name = "checksum",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kHex,
     .role = Role::kChecksum,
     .also = "chksum"},
    {.name = "id", .bit_offset = 32, .bit_width = 16, .kind = Kind::kUint},
    {.name = "seq", .bit_offset = 48, .bit_width = 16, .kind = Kind::kUint},
    {.name = "rest", .bit_offset = 32, .bit_width = 32, .kind = Kind::kHex, .is_view = true},
    {.name = "mtu", .bit_offset = 48, .bit_width = 16, .kind = Kind::kUint, .is_view = true},
    {.name = "gateway", .bit_offset = 32, .bit_width = 32, .kind = Kind::kIp4, .is_view = true},
};
constexpr Field kIcmp6Fields[] = {
    {.name = "type",
     .bit_offset = 0,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 128,
     .names = kIcmp6Types},
    {.name = "code", .bit_offset = 8, .bit_width = 8, .kind = Kind::kUint},
    {.name = "checksum",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kHex,
     .role = Role::kChecksum,
     .also = "chksum"},
    {.name = "id", .bit_offset = 32, .bit_width = 16, .kind = Kind::kUint},
    {.name = "seq", .bit_offset = 48, .bit_width = 16, .kind = Kind::kUint},
    {.name = "rest", .bit_offset = 32, .bit_width = 32, .kind = Kind::kHex, .is_view = true},
    {.name = "mtu", .bit_offset = 32, .bit_width = 32, .kind = Kind::kUint, .is_view = true},
};

/* -- Transport ------------------------------------------------------------ */

constexpr Field kUdpFields[] = {
    {.name = "sport", .bit_offset = 0, .bit_width = 16, .kind = Kind::kUint, .default_value = 1024},
    {.name = "dport", .bit_offset = 16, .bit_width = 16, .kind = Kind::kUint, .default_value = 9},
    {.name = "len",
     .bit_offset = 32,
     .bit_width = 16,
     .kind = Kind::kUint,
     .role = Role::kLength,
     .also = "length"},
    {.name = "checksum",
     .bit_offset = 48,
     .bit_width = 16,
     .kind = Kind::kHex,
     .role = Role::kChecksum,
     .also = "chksum"},
};

constexpr NamedValue kTcpFlags[] = {{0x02, "syn"}, {0x10, "ack"}, {0x01, "fin"}, {0x04, "rst"}, {0x08, "psh"},
                                    {0x20, "urg"}, {0x40, "ece"}, {0x80, "cwr"}, {0x100, "ae"}};
constexpr OptionLayout kTcpOptions[] = {
    {.kind = 0, .name = "eol", .is_single = true},
    {.kind = 1, .name = "nop", .is_single = true},
    {.kind = 2, .name = "mss", .width = 2},
    {.kind = 3, .name = "wscale", .width = 1},
    {.kind = 4, .name = "sackok"},
    {.kind = 5, .name = "sack", .width = 4},
    {.kind = 8, .name = "timestamp", .width = 4},
    {.kind = 34, .name = "tfo"},
};
constexpr Field kTcpFields[] = {
    {.name = "sport", .bit_offset = 0, .bit_width = 16, .kind = Kind::kUint, .default_value = 1024},
    {.name = "dport", .bit_offset = 16, .bit_width = 16, .kind = Kind::kUint, .default_value = 80},
    {.name = "seq", .bit_offset = 32, .bit_width = 32, .kind = Kind::kUint},
    {.name = "ack", .bit_offset = 64, .bit_width = 32, .kind = Kind::kUint},
    {.name = "doff",
     .bit_offset = 96,
     .bit_width = 4,
     .kind = Kind::kUint,
     .default_value = 5,
     .role = Role::kHeaderLength,
     .also = "dataofs"},
    {.name = "reserved", .bit_offset = 100, .bit_width = 3, .kind = Kind::kUint},
    {.name = "flags",
     .bit_offset = 103,
     .bit_width = 9,
     .kind = Kind::kFlags,
     .default_value = 0x02,
     .names = kTcpFlags},
    {.name = "window", .bit_offset = 112, .bit_width = 16, .kind = Kind::kUint, .default_value = 65535},
    {.name = "checksum",
     .bit_offset = 128,
     .bit_width = 16,
     .kind = Kind::kHex,
     .role = Role::kChecksum,
     .also = "chksum"},
    {.name = "urgent", .bit_offset = 144, .bit_width = 16, .kind = Kind::kUint, .also = "urgptr"},
    {.name = "options", .bit_offset = 160, .bit_width = 0, .kind = Kind::kOptions},
};

/* -- The table ------------------------------------------------------------ */

constexpr ProtocolLayout with_roles(ProtocolLayout layout) {
    layout.roles.fill(-1);
    for (size_t i = 0; i < layout.fields.size(); i++) {
        layout.roles[static_cast<size_t>(layout.fields[i].role)] = static_cast<int8_t>(i);
    }
    return layout;
}

constexpr ProtocolLayout kProtocols[] = {
    with_roles({.protocol = Protocol::kEth,
                .name = "eth",
                .title = "Ethernet",
                .fields = kEthFields,
                .header_minimum = 14,
                .next = kEtherTypes}),
    with_roles({.protocol = Protocol::kVlan,
                .name = "vlan",
                .title = "802.1Q/802.1ad tag",
                .fields = kVlanFields,
                .header_minimum = 4,
                .next = kEtherTypes,
                .summary = "id"}),
    with_roles({.protocol = Protocol::kArp,
                .name = "arp",
                .title = "ARP for Ethernet and IPv4",
                .fields = kArpFields,
                .header_minimum = 28,
                .has_payload = false,
                .summary = "op psrc > pdst"}),
    with_roles({.protocol = Protocol::kIp,
                .name = "ip",
                .title = "IPv4",
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
                .fields = kIp6Fields,
                .header_minimum = 40,
                .length_base = 40,
                .next = kIpNumbers,
                .summary = "src > dst"}),
    with_roles({.protocol = Protocol::kHopOpts,
                .name = "hopopts",
                .title = "IPv6 hop-by-hop options",
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
                .fields = kRoutingFields,
                .header_minimum = 8,
                .header_unit = 8,
                .header_base = 8,
                .next = kIpNumbers}),
    with_roles({.protocol = Protocol::kFragment,
                .name = "fragment",
                .title = "IPv6 fragment header",
                .fields = kFragmentFields,
                .header_minimum = 8,
                .next = kIpNumbers}),
    with_roles({.protocol = Protocol::kDstOpts,
                .name = "dstopts",
                .title = "IPv6 destination options",
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
                .fields = kIcmpFields,
                .header_minimum = 8,
                .checksum = ChecksumRule::kData,
                .ip_number = 1,
                .summary = "type"}),
    with_roles({.protocol = Protocol::kIcmp6,
                .name = "icmp6",
                .title = "ICMPv6",
                .fields = kIcmp6Fields,
                .header_minimum = 8,
                .checksum = ChecksumRule::kPseudo,
                .ip_number = 58,
                .summary = "type"}),
    with_roles({.protocol = Protocol::kUdp,
                .name = "udp",
                .title = "UDP",
                .fields = kUdpFields,
                .header_minimum = 8,
                .checksum = ChecksumRule::kPseudo,
                .ip_number = 17,
                .checksum_optional = true,
                .summary = "sport > dport"}),
    with_roles({.protocol = Protocol::kTcp,
                .name = "tcp",
                .title = "TCP",
                .fields = kTcpFields,
                .header_minimum = 20,
                .header_unit = 4,
                .options = kTcpOptions,
                .checksum = ChecksumRule::kPseudo,
                .ip_number = 6,
                .summary = "sport > dport flags"}),
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
