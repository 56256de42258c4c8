// SPDX-License-Identifier: MIT
// perf_event_array: a stream of records per CPU (kernel/bpf/arraymap.c, kernel/events/ring_buffer.c).
#pragma once

#include <algorithm>
#include <deque>
#include <vector>

#include "vm/maps/map.h"

namespace mimicsh::vm {

/// Slots are empty until the host listens; then slot i is the buffer of CPU i, of the kernel target's size.
/// What does not fit is lost and counted, and the count travels with the next record that fits, as in the
/// kernel.
class PerfEventArray final : public VmMap {
  public:
    explicit PerfEventArray(MapInfo info)
        : VmMap(std::move(info)), streams_(std::min(info_.max_entries, info_.cpus)) {}

    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override {
        return next_index(key, next);
    }
    [[nodiscard]] Status listen() override;
    [[nodiscard]] Expected<size_t> consume(const RecordFn& record) override;
    [[nodiscard]] uint64_t lost() const override { return lost_; }
    void undo(const Undo& change) override;

    /// Room for a record of `size` bytes in the stream that `index` names, for a program on `cpu`; null with
    /// the kernel's errno in `code`. Records are as long as the kernel makes them: with a 4-byte length in
    /// front a multiple of 8, zeroes behind.
    [[nodiscard]] uint8_t* add(uint64_t index, uint32_t cpu, uint64_t size, Journal* journal, int64_t& code);

  private:
    struct Record {
        ByteVec bytes;
        uint64_t lost_before = 0;
    };
    struct Stream {
        bool is_open = false;
        std::deque<Record> records;
        uint64_t used = 0; ///< bytes of the buffer
        uint64_t lost = 0; ///< since the last record that fitted
    };
    enum class Change : uint32_t { Added, Lost };

    [[nodiscard]] static uint64_t room_of(const Record& record);

    std::vector<Stream> streams_;
    uint64_t lost_ = 0;
};

} // namespace mimicsh::vm
