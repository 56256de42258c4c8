// SPDX-License-Identifier: MIT
// Fields of DNS messages (RFC 1035, RFC 2535); part of layout.cpp.
#pragma once

#include "net/layout_link.h"

namespace mimicsh::net::tables {

inline constexpr NamedValue kDnsOpcodes[] = {
    {0, "query"}, {1, "iquery"}, {2, "status"}, {4, "notify"}, {5, "update"}};
inline constexpr NamedValue kDnsCodes[] = {{0, "noerror"},  {1, "formerr"}, {2, "servfail"},
                                           {3, "nxdomain"}, {4, "notimp"},  {5, "refused"}};
inline constexpr Field kDnsFields[] = {
    {.name = "id", .bit_offset = 0, .bit_width = 16, .kind = Kind::kHex},
    {.name = "qr", .bit_offset = 16, .bit_width = 1, .kind = Kind::kUint},
    {.name = "opcode", .bit_offset = 17, .bit_width = 4, .kind = Kind::kUint, .names = kDnsOpcodes},
    {.name = "aa", .bit_offset = 21, .bit_width = 1, .kind = Kind::kUint},
    {.name = "tc", .bit_offset = 22, .bit_width = 1, .kind = Kind::kUint},
    {.name = "rd", .bit_offset = 23, .bit_width = 1, .kind = Kind::kUint, .default_value = 1},
    {.name = "ra", .bit_offset = 24, .bit_width = 1, .kind = Kind::kUint},
    {.name = "z", .bit_offset = 25, .bit_width = 1, .kind = Kind::kUint},
    {.name = "ad", .bit_offset = 26, .bit_width = 1, .kind = Kind::kUint},
    {.name = "cd", .bit_offset = 27, .bit_width = 1, .kind = Kind::kUint},
    {.name = "rcode", .bit_offset = 28, .bit_width = 4, .kind = Kind::kUint, .names = kDnsCodes},
    {.name = "flags", .bit_offset = 16, .bit_width = 16, .kind = Kind::kHex, .is_view = true},
    {.name = "qdcount", .bit_offset = 32, .bit_width = 16, .kind = Kind::kUint, .role = Role::kRecordCount},
    {.name = "ancount",
     .bit_offset = 48,
     .bit_width = 16,
     .kind = Kind::kUint,
     .role = Role::kRecordCount,
     .section = 1},
    {.name = "nscount",
     .bit_offset = 64,
     .bit_width = 16,
     .kind = Kind::kUint,
     .role = Role::kRecordCount,
     .section = 2},
    {.name = "arcount",
     .bit_offset = 80,
     .bit_width = 16,
     .kind = Kind::kUint,
     .role = Role::kRecordCount,
     .section = 3},
    {.name = "questions", .bit_offset = 96, .bit_width = 0, .kind = Kind::kRecords, .also = "qd"},
    {.name = "answers", .bit_offset = 96, .bit_width = 0, .kind = Kind::kRecords, .also = "an", .section = 1},
    {.name = "authority",
     .bit_offset = 96,
     .bit_width = 0,
     .kind = Kind::kRecords,
     .also = "ns",
     .section = 2},
    {.name = "additional",
     .bit_offset = 96,
     .bit_width = 0,
     .kind = Kind::kRecords,
     .also = "ar",
     .section = 3},
};

} // namespace mimicsh::net::tables
