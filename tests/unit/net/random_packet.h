// SPDX-License-Identifier: MIT
// Random packets: stacks of every protocol in the table with random fields, and damaged copies of them.
#pragma once

#include <random>

#include "net/packet.h"

namespace mimicsh::net {

/// A well-formed Ethernet packet: tags, IPv4 and IPv6 with options and extension headers, transports, ICMP
/// errors that quote a packet, fragments, and tunnels up to three deep. Ports that name nothing are 40000 and
/// 40001.
[[nodiscard]] Packet random_packet(std::mt19937_64& random);

/// The packet's bytes with a few bytes changed, cut short, or both.
[[nodiscard]] ByteVec damaged(std::mt19937_64& random, const Packet& packet);

} // namespace mimicsh::net
