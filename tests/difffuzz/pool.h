// SPDX-License-Identifier: MIT
// What all cases draw from: one map of each kind, their first entries, and the types of functions and values.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "object/object.h"

namespace mimicsh::difffuzz {

/// The maps, one of each; an object declares only those it uses.
enum class MapId : uint8_t {
    Out,
    Array,
    Hash,
    WideHash,
    PercpuArray,
    PercpuHash,
    Jumps,
    Ring,
    Lpm,
    Lru,
    Queue,
    Stack,
    Bloom,
    Inner,
    Outer, ///< slot 0 holds Inner, slot 1 nothing
    Locked,
    Text,   ///< constant strings
    Inputs, ///< values of aligned calls, on the kernel's side only
};
inline constexpr size_t kMapCount = 18;

/// How what is in a map is read at the end of a case.
enum class Reading : uint8_t {
    Never, ///< it does not change, or (Out) is compared packet by packet
    Array,
    Hash,
    Trie,
    Queue,
    Ring,
    Bloom, ///< it cannot be read
};

[[nodiscard]] constexpr Reading reading_of(MapId id) {
    switch (id) {
    case MapId::Array:
    case MapId::PercpuArray:
    case MapId::Inner:
    case MapId::Locked:
        return Reading::Array;
    case MapId::Hash:
    case MapId::WideHash:
    case MapId::PercpuHash:
    case MapId::Lru:
        return Reading::Hash;
    case MapId::Lpm:
        return Reading::Trie;
    case MapId::Queue:
    case MapId::Stack:
        return Reading::Queue;
    case MapId::Ring:
        return Reading::Ring;
    case MapId::Bloom:
        return Reading::Bloom;
    case MapId::Out:
    case MapId::Jumps:
    case MapId::Outer:
    case MapId::Text:
    case MapId::Inputs:
        break;
    }
    return Reading::Never;
}

/// Declaration of a map. `Out` is a data section: results go in front, inputs are behind.
[[nodiscard]] const MapDef& pool_map(MapId id);

// Layout of the value of MapId::Out, in bytes.
inline constexpr uint32_t kOutRegs = 0;   ///< r0-r9 at the end
inline constexpr uint32_t kOutStack = 80; ///< words of the stack at the end
inline constexpr uint32_t kOutStackWords = 9;
inline constexpr uint32_t kOutEnds = 152;  ///< how many runs have come to the end
inline constexpr uint32_t kOutInput = 160; ///< operands that the verifier does not know
inline constexpr uint32_t kOutProbe = 256; ///< what bisecting looks at; programs leave it alone
inline constexpr uint32_t kOutSize = 264;

// The value of MapId::Locked: a lock, then numbers.
inline constexpr uint32_t kLockedNumbers = 8, kLockedSize = 24;

/// Calls that differ by nature: how many places a program has at most, and values for each.
inline constexpr uint32_t kInputSites = 16, kInputValues = 256;

/// Format of bpf_snprintf in MapId::Text and how many numbers it takes.
struct Format {
    std::string_view text;
    uint32_t offset = 0;
    uint32_t numbers = 0;
};
[[nodiscard]] std::span<const Format> formats();
/// A word in MapId::Text for bpf_strncmp.
inline constexpr uint32_t kTextWord = 0;

/// One entry that a map has before the first packet.
struct Preset {
    MapId map;
    std::array<uint8_t, 8> key;
    std::array<uint8_t, 16> value;
};
[[nodiscard]] std::span<const Preset> presets(MapId map);

/// Types: functions, and the value of MapId::Locked. All functions are static and return int; the verifier
/// looks at no more of static functions.
struct PoolTypes {
    std::shared_ptr<const Btf> btf;
    std::array<uint32_t, 10> functions{}; ///< FUNC ids
    uint32_t number = 0;
    uint32_t locked = 0;
    uint32_t prototype = 0; ///< of the functions
};
[[nodiscard]] const PoolTypes& pool_types();

} // namespace mimicsh::difffuzz
