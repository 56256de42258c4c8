// SPDX-License-Identifier: MIT
// What filters are tried on: packets, whole, cut at every byte, changed; and random expressions.
#pragma once

#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/classic_bpf.h"

namespace mimicsh::test {

/// Recorded and built packets of the whole corpus, and of link layers that it lacks (802.3, LLC and SNAP,
/// MPLS, PPPoE, Geneve, SCTP, IGMP, ESP, RARP, several VLAN tags), each also cut somewhere and with bytes of
/// its headers changed; one of each kind is cut at every byte of its headers.
[[nodiscard]] const std::vector<ByteVec>& filter_packets();

/// Whether libpcap's own interpreter takes a packet that has `length` bytes on the wire.
[[nodiscard]] bool libpcap_takes(std::span<const ClassicInsn> program, ByteView packet, uint32_t length);

/// A random text in the language of pcap-filter(7); libpcap refuses some.
[[nodiscard]] std::string random_expression(std::mt19937& random);

} // namespace mimicsh::test
