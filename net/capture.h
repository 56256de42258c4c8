// SPDX-License-Identifier: MIT
// Live capture, on libpcap.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/pcap_file.h"

struct pcap; // of <pcap/pcap.h>, which stays out of headers: it clashes with <linux/bpf.h>

namespace mimicsh::net {

enum class CaptureDirection : uint8_t { kInOut, kIn, kOut };

struct CaptureOptions {
    std::string filter = {}; ///< empty = everything
    uint32_t snaplen = kMaxCapturedPacket;
    /// Of the kernel, bytes. Every packet takes a place of snaplen or the device's MTU; with GRO on the
    /// device that is 64 KiB.
    uint32_t buffer = uint32_t{16} << 20;
    CaptureDirection direction = CaptureDirection::kInOut;
    bool is_promiscuous = false; ///< what the device hears for others too
};

struct CaptureStats {
    uint64_t received = 0; ///< that passed the filter
    uint64_t dropped = 0;  ///< of these, lost because nobody read them in time
};

/// Packets of a device as they pass. Never waits: whoever wants to polls `fd`.
class LiveCapture {
  public:
    /// Opens in the network namespace of the calling thread; "any" stands for all devices there. EPERM names
    /// the capability, ENODEV and ENETDOWN the device, EINVAL a bad filter.
    [[nodiscard]] static Expected<std::unique_ptr<LiveCapture>> open(const std::string& device,
                                                                     const CaptureOptions& options);
    ~LiveCapture();
    LiveCapture(const LiveCapture&) = delete;
    LiveCapture& operator=(const LiveCapture&) = delete;

    /// Replaces `records` with what has arrived, at most `limit`; the views die with the next call. ENETDOWN
    /// when the device is down, ENODEV when it is gone.
    [[nodiscard]] Status read(std::vector<PacketRecord>& records, size_t limit = 256);
    [[nodiscard]] Expected<CaptureStats> stats();
    /// Polls readable when there are packets, or when the device has gone or down.
    [[nodiscard]] int fd() const;
    /// Of the packets, as in a capture file.
    [[nodiscard]] uint32_t link_type() const { return link_type_; }

  private:
    struct Close {
        void operator()(pcap* handle) const;
    };
    LiveCapture(pcap* handle, std::string device);
    [[nodiscard]] Status activate(const CaptureOptions& options);

    std::unique_ptr<pcap, Close> handle_;
    std::string device_;
    uint32_t link_type_ = kLinkEthernet;
    uint32_t snaplen_ = kMaxCapturedPacket;
    ByteVec bytes_; ///< of the packets of the last read
};

} // namespace mimicsh::net
