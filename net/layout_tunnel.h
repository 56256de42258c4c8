// SPDX-License-Identifier: MIT
// Fields of GRE and VXLAN; part of layout.cpp.
#pragma once

#include "net/layout_link.h"

namespace mimicsh::net::tables {

/* -- GRE (RFC 2784, RFC 2890) --------------------------------------------- */

// Below GRE a bridged frame has a number of its own.
inline constexpr NextHeader kGreTypes[] = {
    {0x0800, Protocol::kIp},   {0x86dd, Protocol::kIp6},  {0x0806, Protocol::kArp}, {0x8100, Protocol::kVlan},
    {0x88a8, Protocol::kVlan}, {0x9100, Protocol::kVlan}, {0x6558, Protocol::kEth},
};
inline constexpr Field kGreFields[] = {
    {.name = "has_checksum",
     .bit_offset = 0,
     .bit_width = 1,
     .kind = Kind::kUint,
     .also = "c",
     .meaning = "checksum and reserved1 are there"},
    {.name = "routing",
     .bit_offset = 1,
     .bit_width = 1,
     .kind = Kind::kUint,
     .role = Role::kFixed,
     .meaning = "source routes, RFC 1701"},
    {.name = "has_key",
     .bit_offset = 2,
     .bit_width = 1,
     .kind = Kind::kUint,
     .also = "k",
     .meaning = "key is there"},
    {.name = "has_seq",
     .bit_offset = 3,
     .bit_width = 1,
     .kind = Kind::kUint,
     .also = "s",
     .meaning = "seq is there"},
    {.name = "reserved0", .bit_offset = 4, .bit_width = 9, .kind = Kind::kHex, .meaning = "not used"},
    {.name = "version",
     .bit_offset = 13,
     .bit_width = 3,
     .kind = Kind::kUint,
     .role = Role::kFixed,
     .meaning = "always 0"},
    {.name = "proto",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kHex,
     .default_value = 0x88b5,
     .role = Role::kNextHeader,
     .names = kEtherTypeNames,
     .also = "protocol",
     .meaning = "EtherType of what follows"},
    {.name = "checksum",
     .bit_offset = 32,
     .bit_width = 16,
     .kind = Kind::kHex,
     .role = Role::kChecksum,
     .also = "chksum",
     .presence = 0,
     .meaning = "of header and payload"},
    {.name = "reserved1",
     .bit_offset = 48,
     .bit_width = 16,
     .kind = Kind::kHex,
     .presence = 0,
     .meaning = "not used"},
    {.name = "key",
     .bit_offset = 64,
     .bit_width = 32,
     .kind = Kind::kHex,
     .presence = 2,
     .meaning = "names the tunnel"},
    {.name = "seq",
     .bit_offset = 96,
     .bit_width = 32,
     .kind = Kind::kUint,
     .presence = 3,
     .meaning = "number of the packet"},
};

/* -- VXLAN (RFC 7348) ----------------------------------------------------- */

inline constexpr NamedValue kVxlanFlags[] = {{0x08, "vni"}};
inline constexpr Field kVxlanFields[] = {
    {.name = "flags",
     .bit_offset = 0,
     .bit_width = 8,
     .kind = Kind::kFlags,
     .default_value = 0x08,
     .names = kVxlanFlags,
     .meaning = "vni is valid"},
    {.name = "reserved", .bit_offset = 8, .bit_width = 24, .kind = Kind::kHex, .meaning = "not used"},
    {.name = "vni",
     .bit_offset = 32,
     .bit_width = 24,
     .kind = Kind::kUint,
     .default_value = 1,
     .meaning = "number of the virtual network"},
    {.name = "reserved2", .bit_offset = 56, .bit_width = 8, .kind = Kind::kHex, .meaning = "not used"},
};

} // namespace mimicsh::net::tables
