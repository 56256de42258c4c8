// SPDX-License-Identifier: MIT
// Copies of one packet out of a device at the rate of XDP: the kernel's test run with live frames
// (Linux 5.18), of a program that varies the packet and redirects it.
#pragma once

#include <memory>
#include <string>

#include "kernel/link.h"
#include "kernel/netns.h"
#include "net/traffic.h"

namespace mimicsh::kernel {

/// Text of the program that does to each copy what PacketTemplate::write does, and redirects it to a device.
/// Lists are maps list0, list1, ... by the number of their field.
[[nodiscard]] std::string live_program(const net::PacketTemplate& packet, uint32_t ifindex);

/// A loaded sender to a device of the calling thread's network namespace.
class LiveSender {
  public:
    /// ENOTSUP where kernel or packet are not fit for it, with the reason; EPERM without the capabilities.
    [[nodiscard]] static Expected<std::unique_ptr<LiveSender>> create(const net::PacketTemplate& packet,
                                                                      const std::string& device);
    LiveSender(const LiveSender&) = delete;
    LiveSender& operator=(const LiveSender&) = delete;
    ~LiveSender();

    /// Sends until `count` frames are out (0 = until `stop` is set). What counts as sent is what the device's
    /// own counter says, where that is less: the kernel drops frames that a device does not take without a
    /// word. Runs in the network namespace of the calling thread.
    [[nodiscard]] Expected<net::TrafficReport> send(const net::TrafficOptions& options);

  private:
    LiveSender(std::string device, ByteVec packet) : device_(std::move(device)), packet_(std::move(packet)) {}
    [[nodiscard]] Status run(uint64_t frames);
    void keep();

    std::string device_;
    ByteVec packet_;
    std::unique_ptr<Instance> instance_;
    int program_fd_ = -1;          ///< the instance's
    std::shared_ptr<NetNs> aside_; ///< where nothing arrives
    std::unique_ptr<Link> kept_;   ///< the program, attached there
};

} // namespace mimicsh::kernel
