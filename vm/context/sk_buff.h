// SPDX-License-Identifier: MIT
// The state of a socket buffer that a packet's bytes do not show, and its numbers in struct __sk_buff.
#pragma once

#include <cstdint>

namespace mimicsh::vm {

/// Offsets in struct __sk_buff (include/uapi/linux/bpf.h).
enum SkBuffOffset : uint16_t {
    kSkbLen = 0,
    kSkbPktType = 4,
    kSkbMark = 8,
    kSkbQueueMapping = 12,
    kSkbProtocol = 16,
    kSkbVlanPresent = 20,
    kSkbVlanTci = 24,
    kSkbVlanProto = 28,
    kSkbPriority = 32,
    kSkbIngressIfindex = 36,
    kSkbIfindex = 40,
    kSkbTcIndex = 44,
    kSkbCb = 48,
    kSkbHash = 68,
    kSkbTcClassid = 72,
    kSkbData = 76,
    kSkbDataEnd = 80,
    kSkbNapiId = 84,
    kSkbFamily = 88,
    kSkbRemoteIp4 = 92,
    kSkbLocalIp4 = 96,
    kSkbRemoteIp6 = 100,
    kSkbLocalIp6 = 116,
    kSkbRemotePort = 132,
    kSkbLocalPort = 136,
    kSkbDataMeta = 140,
    kSkbFlowKeys = 144,
    kSkbTstamp = 152,
    kSkbWireLen = 160,
    kSkbGsoSegs = 164,
    kSkbSk = 168,
    kSkbGsoSize = 176,
    kSkbTstampType = 180,
    kSkbHwtstamp = 184,
    kSkbSize = 192,
};

/// Room in front of the packet in a test run (NET_SKB_PAD) and its longest input: a page less that and struct
/// skb_shared_info.
inline constexpr uint32_t kSkbHeadroom = 64;
inline constexpr uint32_t kSkbMaxPacket = 3712;
inline constexpr uint32_t kEthHeader = 14;

/// How a socket buffer's checksum stands (CHECKSUM_*).
enum class IpSummed : uint8_t { None, Unnecessary, Complete, Partial };

/// What belongs to a buffer beside its bytes and the numbers in the context. Places are offsets in the packet
/// buffer.
struct SkBuffState {
    uint32_t mac = 0;     ///< link-layer header
    uint32_t network = 0; ///< network header
    IpSummed ip_summed = IpSummed::None;
    uint8_t csum_level = 0;
    uint32_t csum = 0;
    bool l2 = true;            ///< the program sees the link-layer header
    uint32_t mac_len = 0;      ///< skb->mac_len, which a test run leaves 0 until a helper sets it
    bool encapsulated = false; ///< adjust_room or lwt_push_encap made an outer header
    bool has_hash = false;     ///< the hash in the context means something
    uint32_t headroom = 0;     ///< bytes that the kernel's buffer has in front of data
    /// The transport header from the start of the kernel's buffer; all ones = not set. When a buffer is made
    /// anew for headroom the kernel moves it along even so (skb_headers_offset_update), and it counts as set
    /// then.
    uint16_t transport = 0xffff;
    uint32_t behind = 0; ///< end of what bpf_skb_change_tail has cut off, which is still in the buffer
};

} // namespace mimicsh::vm
