// SPDX-License-Identifier: MIT
// Fields of the link layer, and the numbers that name protocols; part of layout.cpp.
#pragma once

#include "net/layout.h"

namespace mimicsh::net::tables {

using Kind = FieldKind;
using Role = FieldRole;

/* -- Numbers that name protocols ------------------------------------------ */

inline constexpr NextHeader kEtherTypes[] = {
    {0x0800, Protocol::kIp},   {0x86dd, Protocol::kIp6},  {0x0806, Protocol::kArp},
    {0x8100, Protocol::kVlan}, {0x88a8, Protocol::kVlan}, {0x9100, Protocol::kVlan},
};
inline constexpr NamedValue kEtherTypeNames[] = {{0x0800, "ip"},   {0x86dd, "ip6"},  {0x0806, "arp"},
                                                 {0x8100, "vlan"}, {0x88a8, "qinq"}, {0x8847, "mpls"},
                                                 {0x88cc, "lldp"}, {0x6558, "eth"},  {0x9100, "qinq1"}};
inline constexpr NextHeader kIpNumbers[] = {
    {1, Protocol::kIcmp},    {6, Protocol::kTcp},      {17, Protocol::kUdp},      {58, Protocol::kIcmp6},
    {0, Protocol::kHopOpts}, {43, Protocol::kRouting}, {44, Protocol::kFragment}, {60, Protocol::kDstOpts},
    {4, Protocol::kIp},      {41, Protocol::kIp6},     {47, Protocol::kGre},      {143, Protocol::kEth},
};
inline constexpr NamedValue kIpNumberNames[] = {
    {1, "icmp"},     {2, "igmp"},      {4, "ipip"},     {6, "tcp"},    {17, "udp"},   {41, "ip6"},
    {47, "gre"},     {50, "esp"},      {51, "ah"},      {58, "icmp6"}, {59, "none"},  {0, "hopopts"},
    {43, "routing"}, {44, "fragment"}, {60, "dstopts"}, {89, "ospf"},  {132, "sctp"}, {143, "eth"},
};
// IPv4 knows no extension headers; these numbers are not followed below it.
inline constexpr NextHeader kIp4Numbers[] = {
    {1, Protocol::kIcmp}, {6, Protocol::kTcp},  {17, Protocol::kUdp}, {58, Protocol::kIcmp6},
    {4, Protocol::kIp},   {41, Protocol::kIp6}, {47, Protocol::kGre}, {143, Protocol::kEth},
};

/* -- Link layer ----------------------------------------------------------- */

inline constexpr Field kEthFields[] = {
    {.name = "dst",
     .bit_offset = 0,
     .bit_width = 48,
     .kind = Kind::kMac,
     .default_value = 0x020000000002,
     .meaning = "destination address"},
    {.name = "src",
     .bit_offset = 48,
     .bit_width = 48,
     .kind = Kind::kMac,
     .default_value = 0x020000000001,
     .meaning = "source address"},
    {.name = "type",
     .bit_offset = 96,
     .bit_width = 16,
     .kind = Kind::kHex,
     .default_value = 0x9000,
     .role = Role::kNextHeader,
     .names = kEtherTypeNames,
     .meaning = "EtherType of what follows"},
};

inline constexpr Field kVlanFields[] = {
    {.name = "prio",
     .bit_offset = 0,
     .bit_width = 3,
     .kind = Kind::kUint,
     .also = "pcp",
     .meaning = "priority"},
    {.name = "dei", .bit_offset = 3, .bit_width = 1, .kind = Kind::kUint, .meaning = "may be dropped first"},
    {.name = "id",
     .bit_offset = 4,
     .bit_width = 12,
     .kind = Kind::kUint,
     .default_value = 1,
     .also = "vid",
     .meaning = "VLAN number"},
    {.name = "type",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kHex,
     .default_value = 0x9000,
     .role = Role::kNextHeader,
     .names = kEtherTypeNames,
     .meaning = "EtherType of what follows"},
};

inline constexpr NamedValue kArpOps[] = {{1, "request"}, {2, "reply"}};
inline constexpr Field kArpFields[] = {
    {.name = "hwtype",
     .bit_offset = 0,
     .bit_width = 16,
     .kind = Kind::kUint,
     .default_value = 1,
     .meaning = "hardware type, 1 Ethernet"},
    {.name = "ptype",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kHex,
     .default_value = 0x0800,
     .names = kEtherTypeNames,
     .meaning = "EtherType of the protocol asked for"},
    {.name = "hwlen",
     .bit_offset = 32,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 6,
     .role = Role::kFixed,
     .meaning = "bytes of a hardware address"},
    {.name = "plen",
     .bit_offset = 40,
     .bit_width = 8,
     .kind = Kind::kUint,
     .default_value = 4,
     .role = Role::kFixed,
     .meaning = "bytes of a protocol address"},
    {.name = "op",
     .bit_offset = 48,
     .bit_width = 16,
     .kind = Kind::kUint,
     .default_value = 1,
     .names = kArpOps,
     .meaning = "request or reply"},
    {.name = "hwsrc",
     .bit_offset = 64,
     .bit_width = 48,
     .kind = Kind::kMac,
     .default_value = 0x020000000001,
     .meaning = "sender's hardware address"},
    {.name = "psrc",
     .bit_offset = 112,
     .bit_width = 32,
     .kind = Kind::kIp4,
     .default_value = 0xc0000201,
     .meaning = "sender's protocol address"},
    {.name = "hwdst",
     .bit_offset = 144,
     .bit_width = 48,
     .kind = Kind::kMac,
     .meaning = "target's hardware address"},
    {.name = "pdst",
     .bit_offset = 192,
     .bit_width = 32,
     .kind = Kind::kIp4,
     .default_value = 0xc0000202,
     .meaning = "target's protocol address"},
};

} // namespace mimicsh::net::tables
