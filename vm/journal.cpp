// SPDX-License-Identifier: MIT
// Playing the undo log backwards.
#include "vm/journal.h"

#include "vm/maps/map.h"

namespace mimicsh::vm {

bool Journal::rewind() {
    if (overflowed_) {
        return false;
    }
    for (auto undo = undos_.rbegin(); undo != undos_.rend(); ++undo) {
        if (undo->map != nullptr) {
            undo->map->undo(*undo);
        } else {
            std::memcpy(undo->host, arena_.data() + undo->arena, undo->size);
        }
    }
    begin_run();
    return true;
}

} // namespace mimicsh::vm
