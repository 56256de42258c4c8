// SPDX-License-Identifier: MIT
// Packets as text: layer tree, Lua source, hexdump.
#pragma once

#include <functional>
#include <string>

#include "net/packet.h"

namespace mimicsh::net {

/// Sets a text apart as one of a part of a packet: the index of a layer, behind them payload and padding.
using Paint = std::function<std::string(size_t part, const std::string& text)>;

struct ShowOptions {
    Paint paint;           ///< of the layers' names; none: plain
    bool has_bytes = true; ///< payload and padding as hexdump
};

/// One line a layer, one line a field, payload as hexdump. Wrong checksums carry the right one.
[[nodiscard]] std::string show(const Packet& packet, const ShowOptions& options = {});
/// One line: "eth / ip 192.0.2.1 > 192.0.2.2 / udp 1024 > 53 / 5 bytes".
[[nodiscard]] std::string summary(const Packet& packet);
/// Lua source that builds the same bytes: pkt.eth{...}/pkt.ip{...}/"payload". Defaults are left out.
[[nodiscard]] std::string code(const Packet& packet);
/// Lines of an offset, bytes in hexadecimal, and the same as text.
[[nodiscard]] std::string hexdump(ByteView bytes, size_t per_line = 16);

/// How much of a packet is dumped, and in lines of how many bytes.
struct DumpOptions {
    size_t limit = SIZE_MAX;
    size_t per_line = 16;
    Paint paint; ///< of bytes by the layer they belong to; none: plain
};

/// Hexdump of a whole packet, and as its last line the bytes of each layer: "eth 0-13  ip 14-33  payload
/// 42-43".
[[nodiscard]] std::string hexdump(const Packet& packet, const DumpOptions& options);

} // namespace mimicsh::net
