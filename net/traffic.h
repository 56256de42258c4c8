// SPDX-License-Identifier: MIT
// Many packets out of one device: where they come from, at which rate, and what became of them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/packet_template.h"
#include "net/raw_socket.h"

namespace mimicsh::net {

struct TrafficOptions {
    uint64_t count = 0; ///< packets; 0 = until the source ends or `stop` is set
    double rate = 0;    ///< packets per second; 0 = as fast as it goes
    const std::atomic<bool>* stop = nullptr;

    [[nodiscard]] bool is_stopped() const { return stop != nullptr && stop->load(std::memory_order_relaxed); }
};

struct TrafficReport {
    uint64_t sent = 0;
    double seconds = 0;
    std::string how = {};  ///< "sendmmsg", "xsk", "live"
    std::string note = {}; ///< why this way, and what did not go as asked; empty when nothing is to be said
};

/// Says when the next packets are due. Its clock starts with the object.
class Pacer {
  public:
    explicit Pacer(const TrafficOptions& options);
    /// How many may go now, up to `limit`: waits until at least one is due. 0 = stopped.
    [[nodiscard]] uint64_t next(uint64_t sent, uint64_t limit) const;
    [[nodiscard]] double seconds() const;

  private:
    TrafficOptions options_;
    uint64_t start_ns_;
};

/// Where packets come from.
class PacketSupply {
  public:
    virtual ~PacketSupply() = default;
    /// Replaces `packets` with up to `limit` (at least 1) more; none at the end. The views die with the next
    /// call.
    [[nodiscard]] virtual Status next(std::vector<ByteView>& packets, size_t limit) = 0;
    /// How many there will be, about; UINT64_MAX without end, 0 when nobody knows.
    [[nodiscard]] virtual uint64_t expected() const = 0;
};

/// A list, so many times over (0 = without end).
[[nodiscard]] std::unique_ptr<PacketSupply> supply_list(std::vector<ByteVec> packets, uint64_t loops);
/// A capture file, so many times over. An error when it cannot be opened now, is damaged, or is empty.
[[nodiscard]] Expected<std::unique_ptr<PacketSupply>> supply_capture(const std::string& path, uint64_t loops);
/// Copies of a template without end.
[[nodiscard]] std::unique_ptr<PacketSupply> supply_template(PacketTemplate packet, uint64_t seed);

/// Where packets go.
class PacketSink {
  public:
    virtual ~PacketSink() = default;
    [[nodiscard]] virtual std::string name() const = 0; ///< for the report
    /// Takes in order as many as there is room for. An error is about packet `sent` of the list; ENOBUFS: the
    /// queue of the device is full, and the same packets may be tried again.
    [[nodiscard]] virtual Status send(std::span<const ByteView> packets, size_t& sent) = 0;
    /// Waits for room, at most some milliseconds.
    virtual void wait() = 0;
    /// Waits until everything taken is out. How many did not get out after all.
    [[nodiscard]] virtual uint64_t finish() { return 0; }
};

/// sendmmsg on a packet(7) socket.
[[nodiscard]] std::unique_ptr<PacketSink> sink_socket(std::unique_ptr<RawSocket> socket);

/// Sends until the source ends, `count` packets are out, or `stop` is set. A packet that the device refuses
/// ends it with an error that says how many went before.
[[nodiscard]] Expected<TrafficReport> send_batches(PacketSink& sink, PacketSupply& supply,
                                                   const TrafficOptions& options);

} // namespace mimicsh::net
