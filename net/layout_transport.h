// SPDX-License-Identifier: MIT
// Fields of ICMP, UDP and TCP; part of layout.cpp.
#pragma once

#include "net/layout_link.h"

namespace mimicsh::net::tables {

/* -- ICMP ----------------------------------------------------------------- */

inline constexpr NamedValue kIcmpTypes[] = {
    {0, "echo-reply"},   {3, "unreachable"},    {5, "redirect"},
    {8, "echo-request"}, {11, "time-exceeded"}, {12, "parameter"},
};
inline constexpr NamedValue kIcmp6Types[] = {
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
inline constexpr Field kIcmpFields[] = {
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
inline constexpr Field kIcmp6Fields[] = {
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

inline constexpr NextHeader kUdpPorts[] = {{53, Protocol::kDns}, {4789, Protocol::kVxlan}};
inline constexpr Field kUdpFields[] = {
    {.name = "sport",
     .bit_offset = 0,
     .bit_width = 16,
     .kind = Kind::kUint,
     .default_value = 1024,
     .role = Role::kOtherPort},
    {.name = "dport",
     .bit_offset = 16,
     .bit_width = 16,
     .kind = Kind::kUint,
     .default_value = 9,
     .role = Role::kNextPort},
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

inline constexpr NamedValue kTcpFlags[] = {{0x02, "syn"}, {0x10, "ack"}, {0x01, "fin"},
                                           {0x04, "rst"}, {0x08, "psh"}, {0x20, "urg"},
                                           {0x40, "ece"}, {0x80, "cwr"}, {0x100, "ae"}};
inline constexpr OptionLayout kTcpOptions[] = {
    {.kind = 0, .name = "eol", .is_single = true, .is_end = true},
    {.kind = 1, .name = "nop", .is_single = true},
    {.kind = 2, .name = "mss", .width = 2},
    {.kind = 3, .name = "wscale", .width = 1},
    {.kind = 4, .name = "sackok"},
    {.kind = 5, .name = "sack", .width = 4},
    {.kind = 8, .name = "timestamp", .width = 4},
    {.kind = 34, .name = "tfo"},
};
inline constexpr Field kTcpFields[] = {
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

} // namespace mimicsh::net::tables
