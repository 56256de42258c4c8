// SPDX-License-Identifier: MIT
// What helpers on socket buffers share: one call, its buffer and its numbers.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

inline constexpr int64_t kNotSupported = -524; ///< ENOTSUPP, which user space has no name for
inline constexpr uint32_t kMaxLength = 16064; ///< BPF_SKB_MAX_LEN: an order-2 allocation less skb_shared_info
inline constexpr uint32_t kPlace = 32 * 1024; ///< where a packet that has run out of headroom is put
inline constexpr uint16_t kIp = 0x0800, kIp6 = 0x86dd, kVlan = 0x8100, kVlanAd = 0x88a8;
inline constexpr uint32_t kIpHeader = 20, kIp6Header = 40, kVlanTag = 4, kMacs = 12;

[[nodiscard]] constexpr uint16_t swapped(uint32_t value) {
    return __builtin_bswap16(static_cast<uint16_t>(value));
}

/// One call on the buffer of the running program: names the helper for faults and gives bytes and numbers.
class SkbCall {
  public:
    SkbCall(Machine& machine, const char* helper)
        : machine_(machine), packet_(machine.packet), skb_(machine.skb), helper_(helper) {}
    SkbCall(Machine& machine, const uint64_t* args, const char* helper) : SkbCall(machine, helper) {
        good_ = args[0] == make_addr(kContextHandle, 0);
        if (!good_) {
            machine.fault(FaultKind::BadCall,
                          std::string(helper) + ": the first argument is not the context");
        }
    }
    [[nodiscard]] bool good() const { return good_; }

    /// Ends a helper that the kernel counts as changing the packet.
    uint64_t changed(int64_t result) {
        put(kSkbLen, length());
        machine_.move_packet(helper_);
        return errno_result(result);
    }
    /// Ends one that does not.
    uint64_t done(int64_t result) {
        machine_.note_effect();
        return errno_result(result);
    }

    // -- Bytes: offsets count from what the program sees as data --
    [[nodiscard]] uint32_t length() const { return packet_.end - packet_.start; }
    [[nodiscard]] uint32_t linear_length() const { return packet_.linear_end() - packet_.start; }
    /// Brings the first `bytes` into the linear part (skb_ensure_writable); false when the packet is shorter.
    [[nodiscard]] bool make_writable(uint64_t bytes) {
        if (!has(bytes)) {
            return false;
        }
        packet_.paged = std::min(packet_.paged, length() - static_cast<uint32_t>(bytes));
        return true;
    }
    [[nodiscard]] uint8_t* data() { return packet_.buffer.data() + packet_.start; }
    [[nodiscard]] bool has(uint64_t bytes) const { return bytes <= length(); }
    [[nodiscard]] uint32_t network() const { return skb_.network - packet_.start; }
    [[nodiscard]] uint32_t mac_length() const { return skb_.network - skb_.mac; }
    [[nodiscard]] uint8_t* buffer(uint32_t place) { return packet_.buffer.data() + place; }
    [[nodiscard]] PacketState& packet() { return packet_; }
    [[nodiscard]] SkBuffState& skb() { return skb_; }

    /// Makes the buffer longer where a packet that is to be cut into segments outgrows it. What a program on
    /// memory was given lies in it too.
    void make_room(uint32_t end) {
        packet_.buffer.resize(std::max<size_t>(end, packet_.buffer.size()));
        if (end <= kPacketBuffer) { // not what earlier runs have made of it: each run is to go the same way
            return;
        }
        for (uint32_t handle = 1; handle < machine_.regions.size(); ++handle) {
            if (machine_.regions.at(handle).kind == RegionKind::Memory) {
                machine_.regions.kill(handle, helper_);
            }
        }
    }
    /// Whether the kernel could get memory for a buffer that is so much longer (KMALLOC_MAX_SIZE); else
    /// -ENOMEM.
    [[nodiscard]] bool fits(uint32_t bytes) const {
        constexpr uint32_t kMostBuffer = 4 << 20;
        return bytes <= kMostBuffer && length() + bytes <= kMostBuffer;
    }
    /// skb_push without contents; makes room when the buffer has none in front.
    void push(uint32_t bytes) {
        if (packet_.start < bytes) {
            const uint32_t place = std::max(kPlace, bytes);
            const uint32_t by = place - packet_.start;
            make_room(place + in_buffer());
            std::memmove(buffer(place), data(), in_buffer());
            skb_.behind += skb_.behind != 0 ? by : 0;
            packet_.start += by;
            packet_.end += by;
            skb_.mac += by;
            skb_.network += by;
        }
        packet_.start -= bytes;
        packet_.meta = packet_.start;
        if (skb_.headroom < bytes) {
            constexpr uint32_t kUnit = 64; // NET_SKB_PAD
            const uint32_t more = (bytes - skb_.headroom + kUnit - 1) / kUnit * kUnit;
            skb_.headroom += more - bytes;
            skb_.behind = 0; // only the packet is copied
            // skb_headers_offset_update, in 16 bits: with more room the headers are elsewhere.
            skb_.transport = static_cast<uint16_t>(skb_.transport + more);
            skb_.network = packet_.start + network_in_buffer() - skb_.headroom;
            return;
        }
        skb_.headroom -= bytes;
    }
    void pull(uint32_t bytes) {
        skb_.headroom += bytes;
        packet_.start += bytes;
        packet_.meta = packet_.start;
    }

    // -- Numbers --
    [[nodiscard]] uint32_t get(uint16_t offset) const {
        return mimicsh::load<uint32_t>(machine_.context_image.data() + offset);
    }
    void put(uint16_t offset, uint32_t value) {
        mimicsh::store(machine_.context_image.data() + offset, value);
    }
    /// skb->protocol in host order.
    [[nodiscard]] uint16_t protocol() const { return swapped(get(kSkbProtocol)); }
    void set_protocol(uint16_t type) { put(kSkbProtocol, swapped(type)); }
    void clear_hash() {
        put(kSkbHash, 0);
        skb_.has_hash = false;
    }
    [[nodiscard]] bool is_gso() const { return get(kSkbGsoSize) != 0; }

    /// Header bytes between the packet's first `offset` ones and the rest (bpf_skb_net_hdr_push).
    void push_header(uint32_t offset, uint32_t bytes) {
        const bool same = transport_is_network();
        push(bytes);
        // Headers may be said to lie anywhere; what is in pages stays there.
        offset = std::min(offset, (packet_.paged == 0 ? in_buffer() : linear_length()) - bytes);
        std::memmove(data(), data() + bytes, offset);
        std::memset(data() + offset, 0, bytes);
        skb_.mac -= bytes;
        skb_.network -= bytes;
        move_transport(same);
    }
    /// Takes header bytes out (bpf_skb_net_hdr_pop).
    [[nodiscard]] int64_t pop_header(uint32_t offset, uint32_t bytes) {
        if (!make_writable(uint64_t{offset} + bytes)) {
            return -ENOMEM;
        }
        const bool same = transport_is_network();
        std::memmove(data() + bytes, data(), offset);
        pull(bytes);
        skb_.mac += bytes;
        skb_.network += bytes;
        move_transport(same);
        return 0;
    }

  private:
    /// Bytes from the packet's start to where its buffer has nothing but zeroes.
    [[nodiscard]] uint32_t in_buffer() const { return std::max(skb_.behind, packet_.end) - packet_.start; }
    /// Where the network header is from the start of the kernel's buffer.
    [[nodiscard]] uint16_t network_in_buffer() const {
        return static_cast<uint16_t>(skb_.headroom + network());
    }
    [[nodiscard]] bool transport_is_network() const { return skb_.transport == network_in_buffer(); }
    /// A transport header at the place of the network header stays there (trans_same).
    void move_transport(bool same) {
        if (same) {
            skb_.transport = network_in_buffer();
        }
    }

    Machine& machine_;
    PacketState& packet_;
    SkBuffState& skb_;
    const char* helper_;
    bool good_ = true;
};
} // namespace mimicsh::vm
