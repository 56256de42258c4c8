// SPDX-License-Identifier: MIT
// Records of ring buffers and perf event arrays: taking those that are there, waiting on the loop for more.
#include <cmath>
#include <utility>

#include <fcntl.h>

#include "base/fd.h"
#include "bindings/bpf.h"
#include "bindings/loop.h"

namespace mimicsh::lua {

/// One blocked events:each(). The task owns it; it ends with the block.
struct RingWait {
    lua_State* main = nullptr;
    Wake wake;
    Fd fd;                       ///< kernel rings: an own copy, as the loop takes each descriptor once
    uv_poll_t* poll = nullptr;   ///< of fd
    uv_timer_t* timer = nullptr; ///< with a timeout

    RingWait() = default;
    RingWait(const RingWait&) = delete;
    RingWait& operator=(const RingWait&) = delete;
    ~RingWait() {
        if (poll != nullptr) {
            uv_poll_stop(poll);
            close_and_delete(poll);
        }
        if (timer != nullptr) {
            uv_timer_stop(timer);
            close_and_delete(timer);
        }
    }

    /// Ends the block, and with it this object.
    void end(bool look_again) {
        const Wake target = wake;
        lua_State* L = main;
        lua_pushboolean(L, look_again);
        Loop::of(L).wake(target, L, 1);
    }
};

void wake_ring_waits(InstanceOwner& owner) {
    for (const auto& weak : std::exchange(owner.waits, {})) {
        if (const auto wait = weak.lock()) {
            wait->end(true);
        }
    }
}

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
    const bool is_timed = !lua_isnoneornil(L, 2);
    const double seconds = is_timed ? check_duration(L, 2, "timeout") : 0;
    Loop& loop = Loop::of(L);
    auto wait = std::make_shared<RingWait>();
    wait->main = loop.state();
    wait->wake = loop.prepare_block(L, "events:each");
    if (const int fd = map.event_fd(); fd >= 0) {
        wait->fd = Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        auto poll = std::make_unique<uv_poll_t>();
        if (const int code = uv_poll_init(loop.uv(), poll.get(), wait->fd.get()); code != 0) {
            return push_failure(L, errno_error(-code, "events", map.info().name));
        }
        wait->poll = poll.release();
        wait->poll->data = wait.get();
        uv_poll_start(wait->poll, UV_READABLE,
                      [](uv_poll_t* handle, int, int) { static_cast<RingWait*>(handle->data)->end(true); });
    }
    if (is_timed) {
        wait->timer = new uv_timer_t;
        uv_timer_init(loop.uv(), wait->timer);
        wait->timer->data = wait.get();
        uv_update_time(loop.uv());
        uv_timer_start(
            wait->timer, [](uv_timer_t* handle) { static_cast<RingWait*>(handle->data)->end(false); },
            static_cast<uint64_t>(std::ceil(seconds * 1e3)), 0);
    }
    auto& waits = check<MapRef>(L, 1, "map").owner->waits;
    std::erase_if(waits, [](const auto& weak) { return weak.expired(); });
    waits.push_back(wait);
    loop.current()->waits_on = std::move(wait);
    return loop.block(L);
}

/// ring_clock() -> seconds since some start, for timeouts.
int ring_clock(lua_State* L) {
    lua_pushnumber(L, static_cast<double>(uv_hrtime()) / 1e9);
    return 1;
}

/// ring_wake(map): whoever waits for records of its instance looks again.
int ring_wake(lua_State* L) {
    (void)check_map(L, 1);
    wake_ring_waits(*check<MapRef>(L, 1, "map").owner);
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
