// SPDX-License-Identifier: MIT
// DNS messages (RFC 1035): their records as values and as text, and back to bytes with compressed names.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh::net {

/// A question or a resource record. Names are as in zone files (RFC 1035 section 5.1): labels separated by
/// dots,
/// "." is the root, other bytes than letters, digits, "-" and "_" that would mislead are \DDD.
struct DnsRecord {
    std::string name = ".";
    uint16_t type = 1;
    uint16_t klass = 1;
    uint32_t ttl = 0; ///< seconds; unused in questions
    std::string data; ///< as in zone files: "192.0.2.1", "10 mail.example.com", "\# 2 abcd" (RFC 3597)
    friend bool operator==(const DnsRecord&, const DnsRecord&) = default;
};

/// Questions, answers, authority and additional records, in that order.
inline constexpr size_t kDnsSections = 4;
using DnsSections = std::array<std::vector<DnsRecord>, kDnsSections>;

/// Bytes of the message that starts here, header included. Records are taken as far as they are whole: a
/// message that was cut off ends before the first that is not. 0 where the bytes are no message: shorter than
/// the header, a name with a loop, with reserved length bits, or of more than 255 bytes.
[[nodiscard]] uint32_t dns_size(ByteView bytes);
/// The records of a message, whose size is what dns_size gives.
[[nodiscard]] DnsSections read_dns(ByteView message);
/// Header (with the counts as they are) and records. Names of owners and in types of RFC 1035 are compressed
/// against all names before them. EINVAL with the record that is wrong.
[[nodiscard]] Expected<ByteVec> write_dns(ByteView header, const DnsSections& sections);

/// "example.com A, example.com AAAA": records separated by commas, the class left out where it is IN.
[[nodiscard]] std::string dns_text(const std::vector<DnsRecord>& records, bool is_question);
/// The reverse: NAME [TTL] [CLASS] TYPE [DATA]. EINVAL with the record that is wrong.
[[nodiscard]] Expected<std::vector<DnsRecord>> parse_dns(std::string_view text, bool is_question);

/// "A", "MX", "TYPE65280".
[[nodiscard]] std::string dns_type_text(uint16_t type);

} // namespace mimicsh::net
