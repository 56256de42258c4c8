// SPDX-License-Identifier: MIT
// Sending many packets: which way, and the fall-back.
#pragma once

#include <memory>
#include <string>

#include "kernel/live_frames.h"
#include "kernel/netns.h"
#include "net/traffic.h"

namespace mimicsh::kernel {

enum class SendWay : uint8_t {
    kAuto, ///< live frames for a template, where device and kernel take them; else xsk for many; else
           ///< sendmmsg
    kSendmmsg,
    kLive,
    kXsk,
};

/// Made where the device is; `run` may be called once, by any thread.
class TrafficSender {
  public:
    /// Packets of a list or a capture (ENOTSUP for kLive).
    [[nodiscard]] static Expected<std::unique_ptr<TrafficSender>>
    create(const std::string& device, std::unique_ptr<net::PacketSupply> supply, SendWay way);
    /// Copies of a template.
    [[nodiscard]] static Expected<std::unique_ptr<TrafficSender>>
    create(const std::string& device, const net::PacketTemplate& packet, uint64_t seed, SendWay way);

    /// The report's note says why a way was taken or left.
    [[nodiscard]] Expected<net::TrafficReport> run(net::TrafficOptions options);

  private:
    TrafficSender() = default;
    [[nodiscard]] Status open(const std::string& device);
    /// Tries a few live frames; the report is about those that the device took.
    [[nodiscard]] net::TrafficReport try_live(const net::TrafficOptions& options);
    [[nodiscard]] Expected<net::TrafficReport> send_supply(const net::TrafficOptions& options);

    SendWay way_ = SendWay::kAuto;
    std::string device_;
    std::shared_ptr<NetNs> where_;
    std::unique_ptr<net::PacketSink> socket_;
    std::unique_ptr<net::PacketSupply> supply_;
    std::unique_ptr<LiveSender> live_; ///< null: not to be tried
    std::string note_;
};

} // namespace mimicsh::kernel
