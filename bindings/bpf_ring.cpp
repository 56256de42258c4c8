// SPDX-License-Identifier: MIT
// Records of ring buffers and perf event arrays: taking those that are there, waiting on the loop for more.
#include <optional>
#include <utility>

#include "bindings/bpf.h"

namespace mimicsh::lua {

namespace {

/// map_consume(map) -> list of records as bytes, list of the CPUs that wrote them. Collected first: no Lua
/// runs inside the target's walk.
int map_consume(lua_State* L) {
    Map& map = check_map(L, 1);
    std::vector<std::pair<ByteVec, uint32_t>> records;
    const auto count = map.consume([&records](ByteView record, uint32_t cpu) {
        records.emplace_back(ByteVec(record.begin(), record.end()), cpu);
    });
    if (!count) {
        return push_failure(L, count.error());
    }
    lua_createtable(L, static_cast<int>(records.size()), 0);
    lua_createtable(L, static_cast<int>(records.size()), 0);
    for (size_t i = 0; i < records.size(); i++) {
        push_bytes(L, records[i].first);
        lua_rawseti(L, -3, static_cast<int>(i + 1));
        lua_pushnumber(L, records[i].second);
        lua_rawseti(L, -2, static_cast<int>(i + 1));
    }
    return 2;
}

/// map_listen(map) -> true | nil, err.
int map_listen(lua_State* L) {
    if (const auto done = check_map(L, 1).listen(); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

/// map_lost(map) -> records that a full buffer lost, as far as map_consume has learnt of it.
int map_lost(lua_State* L) {
    lua_pushnumber(L, static_cast<double>(check_map(L, 1).lost()));
    return 1;
}

/// ring_wait(map [, seconds]) -> true to look again | false after that time. Blocks the task.
int ring_wait(lua_State* L) {
    Map& map = check_map(L, 1);
    const auto seconds =
        lua_isnoneornil(L, 2) ? std::nullopt : std::optional(check_duration(L, 2, "timeout"));
    // Rings of the vm have no descriptor: runs wake those who wait.
    return check<MapRef>(L, 1, "map")
        .owner->waits.wait(L, map.event_fd(), UV_READABLE, "events:each", seconds);
}

/// ring_clock() -> seconds since some start, for timeouts.
int ring_clock(lua_State* L) {
    lua_pushnumber(L, static_cast<double>(uv_hrtime()) / 1e9);
    return 1;
}

/// ring_wake(map): whoever waits for records of its instance looks again.
int ring_wake(lua_State* L) {
    (void)check_map(L, 1);
    check<MapRef>(L, 1, "map").owner->waits.wake();
    return 0;
}

/// ring_is_open(map) -> whether its instance is open.
int ring_is_open(lua_State* L) {
    lua_pushboolean(L, check<MapRef>(L, 1, "map").owner->instance != nullptr);
    return 1;
}

constexpr Function kFunctions[] = {
    {"map_consume", &guard<&map_consume>},   {"ring_wait", &guard<&ring_wait>},
    {"ring_clock", &guard<&ring_clock>},     {"ring_wake", &guard<&ring_wake>},
    {"ring_is_open", &guard<&ring_is_open>}, {"map_listen", &guard<&map_listen>},
    {"map_lost", &guard<&map_lost>},
};

} // namespace

std::span<const Function> ring_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
