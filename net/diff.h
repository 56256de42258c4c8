// SPDX-License-Identifier: MIT
// Comparing two packets field by field.
#pragma once

#include <string>
#include <vector>

#include "net/packet.h"

namespace mimicsh::net {

/// One difference. `layer` is a name as in Lua ("ip", "vlan#2" for the second one) or "packet"; `field` is a
/// field, "header" (a layer only one of them has), "length", or "payload[4..7]" / "padding[...]" (offsets
/// from 0, both ends included). Texts as Packet::text gives them, bytes in hexadecimal; empty = not there.
struct FieldDifference {
    std::string layer;
    std::string field;
    std::string before;
    std::string after;
};

/// All differences, from the outside in; empty when the bytes are equal.
[[nodiscard]] std::vector<FieldDifference> diff(const Packet& before, const Packet& after);

} // namespace mimicsh::net
