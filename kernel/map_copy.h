// SPDX-License-Identifier: MIT
// Contents of one instance's maps put into another's, by rules that can be named.
#pragma once

#include <string>
#include <vector>

#include "object/target.h"

namespace mimicsh::kernel {

struct MapCopy {
    std::string map;
    uint64_t entries = 0; ///< that were put there
    std::string rule;     ///< how, or why not: "entry by entry", "not copied: holds records"
};

/// Load options with the present contents of the instance's data sections: .rodata cannot be written later.
[[nodiscard]] Expected<LoadOptions> with_contents(Instance& from, LoadOptions options);

/// Copies entries between instances of one object (the second may have further maps). Maps whose names are in
/// `without` stay as they are; data sections came with the load. What a map has already is overwritten.
[[nodiscard]] Expected<std::vector<MapCopy>> copy_maps(Instance& from, Instance& to,
                                                       const std::vector<std::string>& without);

} // namespace mimicsh::kernel
