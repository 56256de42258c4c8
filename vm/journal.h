// SPDX-License-Identifier: MIT
// What a run changed outside its own packet and stack, so that it can be taken back and run again.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/bytes.h"

namespace mimicsh::vm {

class VmMap;

/// One change. Without a map: `size` bytes at `host` were what the arena holds. With one: the map's own
/// business.
struct Undo {
    VmMap* map = nullptr;
    uint8_t* host = nullptr;
    uint32_t size = 0;
    size_t arena = 0;
    uint32_t op = 0; ///< meaning is the map's
    uint32_t a = 0;
    uint32_t b = 0;
};

/// Undo log of one run, played backwards by `rewind`. Stops recording above a size; then a rewind is refused.
class Journal {
  public:
    void begin_run() {
        if (joint_) {
            return;
        }
        count_ = 0;
        used_ = 0;
        overflowed_ = false;
    }

    /// From now on several runs are recorded as one.
    void join() {
        joint_ = false;
        begin_run();
        joint_ = true;
    }
    /// Takes all of them back; as `rewind`.
    [[nodiscard]] bool part() {
        joint_ = false;
        return rewind();
    }

    /// Remembers bytes that are about to change.
    void bytes(uint8_t* host, uint32_t size) {
        if (!has_room(size)) {
            return;
        }
        if (size <= 16 && size >= 8) {
            store(arena_.data() + used_, load<uint64_t>(host));
            store(arena_.data() + used_ + size - 8, load<uint64_t>(host + size - 8));
        } else {
            std::memcpy(arena_.data() + used_, host, size);
        }
        undos_[count_++] = {nullptr, host, size, used_, 0, 0, 0};
        used_ += size;
    }

    /// Remembers a structural change of a map; the map's `undo` gets it back.
    void map_change(VmMap* map, uint32_t op, uint32_t a, uint32_t b = 0) {
        if (has_room(0)) {
            undos_[count_++] = {map, nullptr, 0, 0, op, a, b};
        }
    }

    /// Takes everything back, last change first. False when the run changed more than was recorded.
    [[nodiscard]] bool rewind();

  private:
    [[nodiscard]] bool has_room(uint32_t size) {
        return (count_ < undos_.size() && arena_.size() - used_ >= size) || grow(size);
    }
    [[nodiscard]] bool grow(uint32_t size);

    static constexpr size_t kMaxChanges = size_t{1} << 20;
    static constexpr size_t kMaxBytes = size_t{64} << 20;
    // Both only ever grow: a run pays for what it records, not for clearing what the last one did.
    std::vector<Undo> undos_;
    ByteVec arena_;
    size_t count_ = 0;
    size_t used_ = 0;
    bool overflowed_ = false;
    bool joint_ = false;
};

} // namespace mimicsh::vm
