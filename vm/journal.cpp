// SPDX-License-Identifier: MIT
// Playing the undo log backwards.
#include "vm/journal.h"

#include <algorithm>

#include "vm/maps/map.h"

namespace mimicsh::vm {

bool Journal::grow(uint32_t size) {
    if (overflowed_ || count_ >= kMaxChanges || used_ + size > kMaxBytes) {
        overflowed_ = true;
        return false;
    }
    undos_.resize(std::max(undos_.size(), 2 * count_ + 16));
    arena_.resize(std::max(arena_.size(), 2 * used_ + size + 512));
    return true;
}

bool Journal::rewind() {
    if (overflowed_) {
        return false;
    }
    while (count_ > 0) {
        const Undo& undo = undos_[--count_];
        if (undo.map != nullptr) {
            undo.map->undo(undo);
        } else {
            std::memcpy(undo.host, arena_.data() + undo.arena, undo.size);
        }
    }
    begin_run();
    return true;
}

} // namespace mimicsh::vm
