// SPDX-License-Identifier: MIT
// Arenas: maps of pages that programs and the host share, the same on both targets.
#pragma once

#include "object/target.h"

namespace mimicsh {

namespace abi {

inline constexpr uint32_t kMapSegvOnFault = 1u << 17;
inline constexpr uint32_t kMapNoUserConv = 1u << 18;
inline constexpr uint32_t kArenaPage = 4096;

/// Where an arena of so many pages that names no address (map_extra 0) begins, on both targets. Its low half
/// is not 0, which programs test pointers for, unless the arena fills all 4 GiB.
[[nodiscard]] constexpr uint64_t arena_address(uint32_t pages) {
    constexpr uint64_t kHigh = uint64_t{0x1d00} << 32, kLow = 0x1000'0000, kSpan = uint64_t{1} << 32;
    const uint64_t size = uint64_t{pages} * kArenaPage;
    return kHigh + (size <= kSpan - kLow ? kLow : kSpan - (size < kSpan ? size : kSpan));
}

} // namespace abi

/// The host's side of an arena, beside `Map`.
class ArenaBytes {
  public:
    virtual ~ArenaBytes() = default;
    /// Address of the first page, as programs hand it out; 0 when the kernel has not been told one.
    [[nodiscard]] virtual uint64_t address() const = 0;
    /// Copies bytes out, `offset` counted from the first page. A page that is not there comes into being, as
    /// it does for every user of the map; EFAULT where the map has BPF_F_SEGV_ON_FAULT. E2BIG past the last
    /// page.
    [[nodiscard]] virtual Status read_at(uint64_t offset, ByteSpan to) = 0;
    /// The same, into the arena. Pages before the one that fails are written.
    [[nodiscard]] virtual Status write_at(uint64_t offset, ByteView from) = 0;
};

/// The map as an arena, null when it is of another type.
[[nodiscard]] inline ArenaBytes* arena_of(Map& map) {
    return map.info().type == abi::MapType::Arena ? dynamic_cast<ArenaBytes*>(&map) : nullptr;
}

} // namespace mimicsh
