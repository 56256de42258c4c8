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
        undos_.clear();
        arena_.clear();
        overflowed_ = false;
    }

    /// Remembers bytes that are about to change.
    void bytes(uint8_t* host, uint32_t size) {
        if (full()) {
            return;
        }
        undos_.push_back({nullptr, host, size, keep({host, size}), 0, 0, 0});
    }

    /// Remembers a structural change of a map; the map's `undo` gets it back.
    void map_change(VmMap* map, uint32_t op, uint32_t a, uint32_t b = 0) {
        if (!full()) {
            undos_.push_back({map, nullptr, 0, 0, op, a, b});
        }
    }

    /// Takes everything back, last change first. False when the run changed more than was recorded.
    [[nodiscard]] bool rewind();

  private:
    [[nodiscard]] bool full() {
        overflowed_ = overflowed_ || undos_.size() >= kMaxChanges || arena_.size() >= kMaxBytes;
        return overflowed_;
    }
    size_t keep(ByteView old) {
        const size_t at = arena_.size();
        arena_.insert(arena_.end(), old.begin(), old.end());
        return at;
    }

    static constexpr size_t kMaxChanges = size_t{1} << 20;
    static constexpr size_t kMaxBytes = size_t{64} << 20;
    std::vector<Undo> undos_;
    ByteVec arena_;
    bool overflowed_ = false;
};

} // namespace mimicsh::vm
