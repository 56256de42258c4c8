// SPDX-License-Identifier: MIT
// What both targets share: look-ups by name and the words for verdicts and faults.
#include "object/target.h"

#include <algorithm>

namespace mimicsh {

uint32_t host_value_size(const MapInfo& info) {
    return abi::is_percpu(info.type) ? info.cpus * round_up(info.value_size, 8u) : info.value_size;
}

std::string_view name(FaultKind kind) {
    switch (kind) {
    case FaultKind::OutOfBounds:
        return "out of bounds";
    case FaultKind::BadPointer:
        return "bad pointer";
    case FaultKind::NullPointer:
        return "null pointer";
    case FaultKind::Permission:
        return "permission";
    case FaultKind::StackOverflow:
        return "stack overflow";
    case FaultKind::BadInstruction:
        return "bad instruction";
    case FaultKind::BadCall:
        return "bad call";
    case FaultKind::Budget:
        return "budget";
    case FaultKind::Strict:
        return "strict";
    case FaultKind::Interrupted:
        return "interrupted";
    }
    return "unknown";
}

Program* Instance::find_program(std::string_view program_name) {
    auto all = programs();
    auto it = std::ranges::find_if(all, [&](Program* program) { return program->name() == program_name; });
    return it == all.end() ? nullptr : *it;
}

Map* Instance::find_map(std::string_view map_name) {
    auto all = maps();
    auto it = std::ranges::find_if(all, [&](Map* map) { return map->info().name == map_name; });
    return it == all.end() ? nullptr : *it;
}

std::string_view verdict_name(abi::ProgType type, uint32_t ret) {
    using abi::ProgType;
    static constexpr std::array<std::string_view, 5> kXdp{"ABORTED", "DROP", "PASS", "TX", "REDIRECT"};
    static constexpr std::array<std::string_view, 9> kTc{"OK",     "RECLASSIFY", "SHOT",   "PIPE",    "STOLEN",
                                                         "QUEUED", "REPEAT",     "REDIRECT", "TRAP"};
    switch (type) {
    case ProgType::Xdp:
        return ret < kXdp.size() ? kXdp[ret] : "INVALID";
    case ProgType::SchedCls:
    case ProgType::SchedAct:
        return ret == 0xffffffff ? "UNSPEC" : ret < kTc.size() ? kTc[ret] : "INVALID";
    case ProgType::SocketFilter:
    case ProgType::CgroupSkb:
        return ret == 0 ? "DROP" : "PASS";
    default:
        return "INVALID";
    }
}

} // namespace mimicsh
