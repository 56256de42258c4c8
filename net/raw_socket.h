// SPDX-License-Identifier: MIT
// Packets sent and received past the stack: packet(7) sockets of a device, raw(7) sockets of an IP protocol.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "net/pcap_file.h"

namespace mimicsh::net {

struct RawCounters {
    uint64_t sent = 0;
    uint64_t sent_bytes = 0;
    uint64_t received = 0;
    uint64_t received_bytes = 0;
    uint64_t errors = 0; ///< packets that the kernel refused
};

enum class IpFamily : uint8_t { kIpv4, kIpv6 };

/// One socket. Never waits: `send` stops where the kernel has no room, and whoever wants to wait polls `fd`.
/// It stays in the network namespace of the thread that opened it.
class RawSocket {
  public:
    /// Whole frames of a device. Without `is_reading` nothing is queued for it. EPERM names the capability,
    /// ENODEV the device.
    [[nodiscard]] static Expected<std::unique_ptr<RawSocket>> open_device(const std::string& device,
                                                                          bool is_reading);
    /// IP packets of a protocol (1 to 255), header included; the kernel routes them by their destination.
    /// Without `is_reading` a filter drops whatever arrives: the kernel copies all of the machine's packets
    /// of the protocol to such a socket. Of IPv6 packets it gives no header (ipv6(7)): what is received gets
    /// one made from what it tells, without extension headers.
    [[nodiscard]] static Expected<std::unique_ptr<RawSocket>> open_protocol(uint8_t protocol, IpFamily family,
                                                                            bool is_reading);

    /// Sends in order, by sendmmsg. Returns how many went out: fewer than given when there is no room for
    /// more now. An error is about packet `sent` of the list (EMSGSIZE with the limit, ENETDOWN, ENODEV);
    /// those before it are out.
    [[nodiscard]] Status send(std::span<const ByteView> packets, size_t& sent);
    /// Replaces `records` with what has arrived, at most `limit`; the views die with the next call. Of a
    /// device's frames only those that came in; VLAN tags that the card took off are put back.
    [[nodiscard]] Status receive(std::vector<PacketRecord>& records, size_t limit = 64);

    [[nodiscard]] bool is_reading() const { return is_reading_; }
    /// kLinkEthernet or kLinkRaw.
    [[nodiscard]] uint32_t link_type() const { return link_type_; }
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] const RawCounters& counters() const { return counters_; }

  private:
    RawSocket(Fd fd, std::string device, bool is_reading);
    [[nodiscard]] Status bind_device(uint32_t ifindex);
    [[nodiscard]] bool bind_protocol();
    [[nodiscard]] Error send_error(int code, ByteView packet) const;

    Fd fd_;
    std::string device_; ///< empty for a protocol's
    uint8_t protocol_ = 0;
    IpFamily family_ = IpFamily::kIpv4; ///< of a protocol's
    bool is_reading_;
    uint32_t link_type_;
    RawCounters counters_;
    ByteVec buffer_; ///< room for the packets of one receive
};

/// The source address that packets to an address of either family get here, as text. ENETUNREACH without a
/// route.
[[nodiscard]] Expected<std::string> source_address(const std::string& destination);

} // namespace mimicsh::net
