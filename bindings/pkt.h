// SPDX-License-Identifier: MIT
// What scripts hold of a packet; shared by the pkt, pcap and bpf modules.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bindings/lua_glue.h"
#include "net/packet.h"
#include "net/pcap_file.h"

namespace mimicsh::lua {

/// A packet with what a capture file knows about it.
struct PacketBox {
    net::Packet packet;
    uint64_t time_ns = 0;  ///< since 1970; 0 = none
    uint32_t orig_len = 0; ///< on the wire; 0 = as long as the packet
    std::string comment;
};

template <>
inline constexpr const char* kTypeName<PacketBox> = "packet";

/// Registers the packet's metatable (idempotent), so that other modules may push packets.
void register_packet(lua_State* L);

/// Pushes a captured packet, dissected by its link type.
void push_captured(lua_State* L, const net::PacketRecord& record, uint32_t link_type);

/// Bytes of a packet or of a string argument.
[[nodiscard]] ByteView check_packet_bytes(lua_State* L, int index, const char* name);

} // namespace mimicsh::lua
