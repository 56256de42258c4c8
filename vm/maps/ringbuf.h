// SPDX-License-Identifier: MIT
// ringbuf: records reserved by programs, handed to the host in the order of reservation
// (kernel/bpf/ringbuf.c).
#pragma once

#include "vm/maps/map.h"

namespace mimicsh::vm {

/// Storage is the ring twice in a row, as the kernel maps it, so that a record is always contiguous. The
/// bytes past the end are those of the ring's start: brought there when a record that reaches them is
/// reserved, and back when it ends.
class Ringbuf final : public VmMap {
  public:
    Ringbuf(MapInfo info, ZeroedBytes storage) : VmMap(std::move(info)), storage_(std::move(storage)) {}

    [[nodiscard]] Status listen() override { return {}; }
    [[nodiscard]] Expected<size_t> consume(const RecordFn& record) override;
    void undo(const Undo& change) override;

    /// Room for `size` bytes, or null when the ring is full or the size impossible. The record stays busy
    /// until `commit`.
    [[nodiscard]] uint8_t* reserve(uint64_t size, Journal* journal);
    /// Ends a record that `reserve` gave.
    void commit(uint8_t* record, bool discard, Journal* journal);

    [[nodiscard]] uint64_t available() const { return producer_ - consumer_; }
    [[nodiscard]] uint64_t consumer() const { return consumer_; }
    [[nodiscard]] uint64_t producer() const { return producer_; }
    [[nodiscard]] uint32_t ring_size() const { return info_.max_entries; }

  private:
    [[nodiscard]] uint8_t* header(uint64_t position) const {
        return storage_.data() + (position & (info_.max_entries - 1));
    }

    /// How many bytes of a record with its header are behind the ring's first half.
    [[nodiscard]] uint64_t past_end(const uint8_t* at, uint64_t length) const;

    ZeroedBytes storage_;
    uint64_t producer_ = 0;
    uint64_t consumer_ = 0;
};

} // namespace mimicsh::vm
