// SPDX-License-Identifier: MIT
// Maps of types that are not emulated: declared beside programs that do not use them.
#pragma once

#include <memory>

#include "vm/maps/map.h"

namespace mimicsh::vm {

/// Whether programs can use maps of that type in the emulator.
[[nodiscard]] bool is_emulated(abi::MapType type);

/// Why maps of that type are not, with what to do. ENOTSUP.
[[nodiscard]] Error not_emulated(const char* op, const std::string& map_name, abi::MapType type);

/// A place in the object's list of maps: the host's calls are ENOTSUP, and no program that names it is
/// loaded.
[[nodiscard]] std::unique_ptr<VmMap> create_unemulated_map(MapInfo info);

} // namespace mimicsh::vm
