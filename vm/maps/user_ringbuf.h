// SPDX-License-Identifier: MIT
// Ring buffer that the host fills and programs drain (kernel/bpf/ringbuf.c, BPF_MAP_TYPE_USER_RINGBUF).
#pragma once

#include <optional>

#include "vm/maps/map.h"

namespace mimicsh::vm {

/// Storage is the ring twice in a row, so that a sample that starts near the end is contiguous.
class UserRingbuf final : public VmMap {
  public:
    UserRingbuf(MapInfo info, ZeroedBytes storage) : VmMap(std::move(info)), storage_(std::move(storage)) {}

    [[nodiscard]] Status send(ByteView sample) override;
    void undo(const Undo& change) override;

    /// The oldest sample, nothing when all were released.
    [[nodiscard]] std::optional<ByteSpan> peek_sample() const;
    /// Drops what `peek_sample` gives.
    void release_sample(Journal* journal);

    bool draining = false; ///< a program is in the middle of it

  private:
    [[nodiscard]] uint8_t* at(uint64_t position) const {
        return storage_.data() + (position & (info_.max_entries - 1));
    }

    ZeroedBytes storage_;
    uint64_t producer_ = 0;
    uint64_t consumer_ = 0;
};

} // namespace mimicsh::vm
