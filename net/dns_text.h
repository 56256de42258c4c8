// SPDX-License-Identifier: MIT
// The text forms of DNS names, strings and types (RFC 1035 section 5.1, RFC 3597); for dns.cpp and
// dns_text.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mimicsh::net {

inline constexpr size_t kMostDnsName =
    255; ///< bytes of a name, with length bytes and the root (RFC 1035 2.3.4)

/// Labels of a name without the root, 1 to 63 bytes each, any bytes.
using DnsLabels = std::vector<std::string>;
[[nodiscard]] std::string dns_name_text(const DnsLabels& labels);
/// Nothing for empty or too long labels and names.
[[nodiscard]] std::optional<DnsLabels> parse_dns_name(std::string_view text);

/// A character string in quotes.
[[nodiscard]] std::string dns_quoted(std::string_view bytes);
/// The bytes of one, with or without quotes; nothing above 255 bytes and for wrong escapes.
[[nodiscard]] std::optional<std::string> parse_dns_string(std::string_view word);

/// Words of a record, as written: blanks in quotes and behind a backslash do not separate.
[[nodiscard]] std::vector<std::string_view> dns_words(std::string_view text);

/// What a type's data consists of, a letter an item: a IPv4 address, q IPv6 address, N name, n name that is
/// never compressed, b h w number of 1, 2, 4 bytes, s strings up to the end; empty: bytes.
[[nodiscard]] std::string_view dns_shape(uint16_t type);

} // namespace mimicsh::net
