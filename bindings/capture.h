// SPDX-License-Identifier: MIT
// Capture files for replay: a packet source over PcapReader and one file per verdict.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/pcap_file.h"
#include "object/replay.h"

namespace mimicsh::lua {

/// Packets of a capture file, batch by batch.
class CaptureSource : public PacketSource {
  public:
    explicit CaptureSource(std::unique_ptr<net::PcapReader> reader) : reader_(std::move(reader)) {}
    /// A stopped wait for the capture reads as its end; `is_stopped` tells them apart.
    Status next(std::vector<ByteView>& packets, size_t limit) override;
    [[nodiscard]] std::span<const uint64_t> times() const override { return times_; }
    [[nodiscard]] bool is_stopped() const { return is_stopped_; }
    [[nodiscard]] const net::PcapReader& reader() const { return *reader_; }

  private:
    std::unique_ptr<net::PcapReader> reader_;
    std::vector<net::PacketRecord> records_;
    std::vector<uint64_t> times_;
    bool is_stopped_ = false;
};

/// Writes packets to DIR/<verdict>.pcap; files appear with their first packet.
class VerdictWriter {
  public:
    /// Makes the folder when it is missing.
    [[nodiscard]] static Expected<std::unique_ptr<VerdictWriter>> create(const std::string& folder);
    [[nodiscard]] Status write(uint64_t index, std::string_view verdict, ByteView packet);
    [[nodiscard]] Status close();

  private:
    std::string folder_;
    std::map<std::string, std::unique_ptr<net::PcapWriter>, std::less<>> files_;
};

} // namespace mimicsh::lua
