// SPDX-License-Identifier: MIT
// Dissecting: bytes to a packet with its headers.
#pragma once

#include "net/packet.h"

namespace mimicsh::net {

/// Finds the headers, starting with `first`, by the layout table. Never fails: what cannot be a header (too
/// short, wrong version, unknown next protocol, a later fragment) is payload, and Packet::note() says why.
/// All fields count as explicit.
[[nodiscard]] Packet dissect(ByteView bytes, Protocol first = Protocol::kEth);

/// The first protocol of a capture's link type; nothing for types not known. For kLinkRaw the version nibble
/// of the packet decides.
[[nodiscard]] std::optional<Protocol> first_protocol(uint32_t link_type, ByteView packet);

} // namespace mimicsh::net
