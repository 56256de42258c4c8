// SPDX-License-Identifier: MIT
// Text forms of field values: addresses, names, flags, option lists.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "net/layout.h"

namespace mimicsh::net {

[[nodiscard]] std::string mac_text(ByteView bytes);
[[nodiscard]] std::string ip4_text(ByteView bytes);
[[nodiscard]] std::string ip6_text(ByteView bytes);
/// Bytes of a textual kMac, kIp4 or kIp6 address.
[[nodiscard]] std::optional<ByteVec> parse_address(FieldKind kind, std::string_view text);

/// A decimal or 0x-prefixed number that fits 64 bits, nothing else around it.
[[nodiscard]] std::optional<uint64_t> parse_number(std::string_view text);
/// A number, one of the field's names, or for flags several of them ("syn,ack", "syn|ack"; "" and "none" =
/// 0).
[[nodiscard]] std::optional<uint64_t> parse_value(const Field& field, std::string_view text);
/// The reverse: "tcp" for 6 in ip.proto, "syn,ack", "0x0800 (ip)" and so on.
[[nodiscard]] std::string value_text(const Field& field, uint64_t value);

/// "mss=1460,sackok,timestamp=1:0,nop,wscale=7"; unknown kinds are NUMBER=HEX, what cannot be an option
/// raw=HEX. Always lossless: parse_options gives the same bytes.
[[nodiscard]] std::string options_text(const ProtocolLayout& layout, ByteView options);
/// Bytes of an option list, not padded; nothing when the text is wrong.
[[nodiscard]] std::optional<ByteVec> parse_options(const ProtocolLayout& layout, std::string_view text);

} // namespace mimicsh::net
