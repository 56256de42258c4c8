// SPDX-License-Identifier: MIT
// Packets as text: layer tree, Lua source, hexdump.
#pragma once

#include <string>

#include "net/packet.h"

namespace mimicsh::net {

/// One line a layer, one line a field, payload as hexdump. Wrong checksums carry the right one.
[[nodiscard]] std::string show(const Packet& packet);
/// One line: "eth / ip 192.0.2.1 > 192.0.2.2 / udp 1024 > 53 / 5 bytes".
[[nodiscard]] std::string summary(const Packet& packet);
/// Lua source that builds the same bytes: pkt.eth{...}/pkt.ip{...}/"payload". Defaults are left out.
[[nodiscard]] std::string code(const Packet& packet);
/// Offset, 16 bytes in hexadecimal, the same as text; one line per 16 bytes.
[[nodiscard]] std::string hexdump(ByteView bytes);

} // namespace mimicsh::net
