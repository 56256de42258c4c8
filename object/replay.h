// SPDX-License-Identifier: MIT
// Replay: many packets through one program of any target, counted by verdict.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "object/target.h"

namespace mimicsh {

/// Where the packets come from: a capture file, a list, a generator. Views stay valid until the next call.
class PacketSource {
  public:
    virtual ~PacketSource() = default;
    /// Fills `packets` with up to `limit` packets; an empty result is the end.
    [[nodiscard]] virtual Status next(std::vector<ByteView>& packets, size_t limit) = 0;
    /// When those packets were captured, in ns since any moment, 0 = not known; empty when the source has no
    /// times.
    [[nodiscard]] virtual std::span<const uint64_t> times() const { return {}; }
};

struct FirstPacket {
    uint64_t index = 0; ///< from 1, in order of the source
    ByteVec packet;     ///< as it came in
};

/// Entries of one map before and after.
struct MapChange {
    std::string map;
    uint64_t added = 0;
    uint64_t removed = 0;
    uint64_t changed = 0;
};

struct ReplayReport {
    uint64_t packets = 0;
    uint64_t bytes = 0;
    std::map<std::string, uint64_t> verdicts; ///< by verdict_name; "fault" counts faulted runs
    std::map<std::string, uint64_t> second;   ///< the same of programs that device and CPU maps hold; vm only
    std::map<std::string, FirstPacket> first; ///< first packet per verdict
    std::optional<Fault> first_fault;
    std::vector<Warning> warnings; ///< once per site
    std::vector<MapChange> map_changes;
    uint64_t callbacks = 0;       ///< of timers and work queues, with packet_clock
    uint64_t callback_faults = 0; ///< those of them that ended in a fault; the first is in first_fault, too
    double seconds = 0;           ///< wall time of the loop
    bool interrupted = false;
};

struct ReplayOptions {
    uint64_t limit = UINT64_MAX;
    const std::atomic<bool>* stop = nullptr;
    /// Called for each packet with its verdict and the bytes after the run; makes the run copy packets out.
    std::function<Status(uint64_t index, std::string_view verdict, ByteView out)> on_packet;
    /// Called now and then (every few ten thousand packets) for progress.
    std::function<void(const ReplayReport& so_far)> on_progress;
    uint32_t workers = 1; ///< BatchOptions::workers
    /// Moves the instance's clock from packet to packet as their times do, from where it stands, and runs
    /// what is due before each. Times that go back move nothing. EINVAL without times or with workers,
    /// ENOTSUP where the clock cannot be set (kernel).
    bool packet_clock = false;
    size_t map_change_limit = 100'000; ///< maps with more max_entries are not compared
};

/// Whether entries of the type are plain values that a host can walk, and so compare.
[[nodiscard]] bool holds_plain_entries(abi::MapType type);

[[nodiscard]] Expected<ReplayReport> replay(Instance& instance, Program& program, PacketSource& source,
                                            const ReplayOptions& options);

} // namespace mimicsh
