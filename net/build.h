// SPDX-License-Identifier: MIT
// Building packets: headers with defaults, stacked on each other.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "net/packet.h"

namespace mimicsh::net {

struct FieldSetting {
    std::string name;
    FieldValue value;
};

/// A packet of one header with defaults and the given fields: what pkt.ip{ttl=3} makes. Fields given are
/// explicit: kept as written, even where wrong. Unknown names and values out of range are refused.
[[nodiscard]] Expected<Packet> build_layer(Protocol protocol, const std::vector<FieldSetting>& fields = {});

/// `below / above`: the bytes of `above` become the rest of the payload of `below` (before its padding).
/// Fields of both that are not explicit (next header, lengths, checksums) are filled anew. A header on top of
/// a payload is refused (EINVAL), and so is more than kMaxBuiltPacket (EMSGSIZE).
[[nodiscard]] Expected<Packet> stack(const Packet& below, const Packet& above);

/// Appends padding: bytes that no IP length counts (Ethernet's fill to 60 bytes).
[[nodiscard]] Expected<Packet> pad(const Packet& packet, ByteView padding);

/// One call for C++ users: layers and payloads from the outside in.
struct LayerSpec {
    Protocol protocol;
    std::vector<FieldSetting> fields = {};
};
using Part = std::variant<LayerSpec, ByteVec>;
[[nodiscard]] Expected<Packet> build(const std::vector<Part>& parts);

} // namespace mimicsh::net
