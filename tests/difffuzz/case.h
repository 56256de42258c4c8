// SPDX-License-Identifier: MIT
// One case of differential fuzzing: a program, the maps it uses, and the packets it runs on.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "object/object.h"

namespace mimicsh::difffuzz {

/// The maps that programs draw from, one of each; an object declares only those it uses.
enum class MapId : uint8_t { Out, Array, Hash, WideHash, PercpuArray, PercpuHash, Jumps, Ring };
inline constexpr size_t kMapCount = 8;

/// Declaration of a map of the pool. `Out` is a data section: results go in front, inputs are behind.
[[nodiscard]] const MapDef& pool_map(MapId id);

// Layout of the value of MapId::Out, in bytes.
inline constexpr uint32_t kOutRegs = 0;   ///< r0-r9 at the end
inline constexpr uint32_t kOutStack = 80; ///< words of the stack at the end
inline constexpr uint32_t kOutStackWords = 9;
inline constexpr uint32_t kOutEnds = 152;  ///< how many runs have come to the end
inline constexpr uint32_t kOutInput = 160; ///< operands that the verifier does not know
inline constexpr uint32_t kOutSize = 256;

/// One entry that a map has before the first packet.
struct Preset {
    MapId map;
    std::array<uint8_t, 8> key;
    std::array<uint8_t, 16> value;
};
[[nodiscard]] std::span<const Preset> presets();

struct Input {
    ByteVec packet;    ///< metadata in front, if any
    uint32_t meta = 0; ///< bytes of metadata
};

struct Case {
    uint64_t seed = 0;
    std::shared_ptr<Object> object; ///< function 0 is the program
    std::vector<MapId> maps;        ///< parallel to object->maps
    std::vector<Input> inputs;
    std::array<bool, 16> features{}; ///< by Feature
};

/// What a case contains, for the statistics.
enum class Feature : uint8_t {
    MapHelper,
    LocalCall,
    Loop,
    Callback,
    Atomic,
    PacketHelper,
    TailCall,
    Records
};
inline constexpr std::array<const char*, 8> kFeatureNames{
    "map helpers", "local calls", "loops", "bpf_loop", "atomics", "packet helpers", "tail calls", "records"};

} // namespace mimicsh::difffuzz
