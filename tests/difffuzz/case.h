// SPDX-License-Identifier: MIT
// One case of differential fuzzing: a program, the maps it uses, and the packets it runs on.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "object/align.h"
#include "object/object.h"
#include "tests/difffuzz/pool.h"

namespace mimicsh::difffuzz {

struct Input {
    ByteVec packet;    ///< metadata in front, if any
    uint32_t meta = 0; ///< bytes of metadata (XDP)
    ByteVec context;   ///< struct __sk_buff to run with; empty for XDP
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
    Records,
    SocketBuffer,
    Container,
    NestedMap,
    ForEach,
    Lock,
    Text,
    Dynptr,
    Iterator,
    Section,
    NaturalInput,
};
inline constexpr std::array<const char*, 18> kFeatureNames{
    "map helpers",
    "local calls",
    "loops",
    "bpf_loop",
    "atomics",
    "packet helpers",
    "tail calls",
    "ring-buffer records",
    "sched_cls",
    "LPM tries, LRUs, queues, stacks and bloom filters",
    "maps of maps",
    "for_each_map_elem",
    "spin locks",
    "text helpers",
    "dynptrs",
    "iterators",
    "RCU and preemption sections",
    "aligned inputs"};

struct Case {
    uint64_t seed = 0;
    abi::ProgType type = abi::ProgType::Xdp;
    std::shared_ptr<Object> object; ///< function 0 is the program
    std::vector<MapId> maps;        ///< parallel to object->maps
    std::vector<Input> inputs;
    std::array<bool, kFeatureNames.size()> features{}; ///< by Feature

    [[nodiscard]] bool has(Feature feature) const { return features[static_cast<size_t>(feature)]; }
};

} // namespace mimicsh::difffuzz
