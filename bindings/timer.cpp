// SPDX-License-Identifier: MIT
// Module timer: after, every, sleep on the loop's clock.
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>

#include "bindings/loop.h"
#include "bindings/modules.h"

namespace mimicsh::lua {

namespace {

/// A timer that scripts hold. The uv handle outlives it until uv has closed it.
struct Timer {
    lua_State* main = nullptr;
    uv_timer_t* handle = nullptr; ///< null when stopped
    int function = LUA_NOREF;
    bool repeats = false;
    std::shared_ptr<Task> running; ///< an unfinished round; beats meanwhile are left out
    std::shared_ptr<Timer> self;   ///< keeps it while it is armed

    void stop() {
        if (handle != nullptr) {
            uv_timer_stop(handle);
            handle->data = nullptr;
            close_and_delete(handle);
            handle = nullptr;
            luaL_unref(main, LUA_REGISTRYINDEX, function);
            self.reset();
        }
    }
};

} // namespace

template <>
inline constexpr const char* kTypeName<Timer> = "timer";

namespace {

/// uv counts milliseconds; rounding up means that a sleep is never shorter than asked.
uint64_t milliseconds(double seconds) {
    return static_cast<uint64_t>(std::ceil(seconds * 1e3));
}

void fire(uv_timer_t* handle) {
    auto* timer = static_cast<Timer*>(handle->data);
    if (timer == nullptr || (timer->running != nullptr && !timer->running->ended())) {
        return;
    }
    const auto keep = timer->self;
    lua_State* L = timer->main;
    lua_rawgeti(L, LUA_REGISTRYINDEX, timer->function);
    timer->running = Loop::of(L).spawn(L, 0, timer->repeats ? "timer.every" : "timer.after");
    if (!timer->repeats) {
        timer->stop();
    }
}

int start(lua_State* L, bool repeats) {
    const double seconds = check_duration(L, 1, "seconds");
    check_function(L, 2, "fn");
    Loop& loop = Loop::of(L);
    auto timer = std::make_shared<Timer>();
    timer->main = loop.state();
    timer->repeats = repeats;
    timer->handle = new uv_timer_t;
    uv_timer_init(loop.uv(), timer->handle);
    timer->handle->data = timer.get();
    timer->self = timer;
    lua_pushvalue(L, 2);
    timer->function = luaL_ref(L, LUA_REGISTRYINDEX);
    uv_update_time(loop.uv());
    const uint64_t period = milliseconds(seconds);
    uv_timer_start(timer->handle, &fire, period, repeats ? std::max<uint64_t>(period, 1) : 0);
    push_owner(L, timer);
    return 1;
}

int after(lua_State* L) {
    return start(L, false);
}
int every(lua_State* L) {
    return start(L, true);
}

int timer_stop(lua_State* L) {
    auto& timer = check<Timer>(L, 1, "timer");
    const auto keep = timer.self;
    timer.stop();
    if (timer.running != nullptr) {
        Loop::of(L).withdraw(*timer.running); // it was due, and has not had its turn
    }
    return 0;
}

int sleep(lua_State* L) {
    const double seconds = check_duration(L, 1, "seconds");
    Loop& loop = Loop::of(L);
    loop.wake_after(loop.prepare_block(L, "timer.sleep"), milliseconds(seconds));
    return loop.block(L);
}

constexpr Function kTimer[] = {
    {"after", &guard<&after>,
     "timer.after(seconds, fn) -> timer\nCalls fn once, in a task of its own; timer:stop() takes it back.\n"
     "timer.after(\"1ms\", function() print \"late\" end)\ntimer.sleep(0.05) --> late"},
    {"every", &guard<&every>,
     "timer.every(seconds, fn) -> timer\nCalls fn again and again; beats that come while it still runs are "
     "left "
     "out.\nlocal n = 0\nlocal t\nt = timer.every(0.001, function() n = n + 1; if n == 3 then t:stop() end "
     "end)\n"
     "timer.sleep(0.2)\nprint(n) --> 3"},
    {"sleep", &guard<&sleep>,
     "timer.sleep(seconds)\nLets other tasks run for at least that long; \"250ms\" works too.\n"
     "timer.sleep \"1ms\""},
};

constexpr Function kTimerMethods[] = {
    {"stop", &guard<&timer_stop>,
     "t:stop()\nEnds the timer: no call begins any more. Does nothing when it has ended.\n"
     "timer.after(10, print):stop()"},
};

std::string seconds_text(uint64_t milliseconds) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.6g s", static_cast<double>(milliseconds) / 1e3);
    return text.data();
}

} // namespace

namespace {

/// Calls `visit` with each timer of scripts that is armed. The loop knows which handles are, and theirs is
/// the only callback of this kind.
void each_armed(uv_loop_t* loop, std::function<void(uv_timer_t*)> visit) {
    uv_walk(
        loop,
        [](uv_handle_t* handle, void* data) {
            auto* timer = reinterpret_cast<uv_timer_t*>(handle);
            if (uv_handle_get_type(handle) == UV_TIMER && uv_is_active(handle) != 0 &&
                timer->timer_cb == &fire) {
                (*static_cast<std::function<void(uv_timer_t*)>*>(data))(timer);
            }
        },
        &visit);
}

} // namespace

void append_timers(lua_State* L) {
    each_armed(Loop::of(L).uv(), [L](uv_timer_t* timer) {
        const uint64_t period = uv_timer_get_repeat(timer);
        lua_createtable(L, 0, 2);
        push_string(L, period > 0 ? "timer.every" : "timer.after");
        lua_setfield(L, -2, "task");
        push_string(L, (period > 0 ? "every " + seconds_text(period) + ", again in " : std::string("in ")) +
                           seconds_text(uv_timer_get_due_in(timer)));
        lua_setfield(L, -2, "state");
        lua_rawseti(L, -2, static_cast<int>(lua_objlen(L, -2)) + 1);
    });
}

void open_timer(lua_State* L) {
    push_metatable<Timer>(L);
    lua_getfield(L, -1, "__index");
    set_functions(L, "timer:", kTimerMethods);
    lua_pop(L, 2);
    lua_newtable(L);
    set_functions(L, "timer.", kTimer);
    Loop& loop = Loop::of(L);
    loop.on_end([&loop] {
        each_armed(loop.uv(), [](uv_timer_t* timer) {
            const auto keep = static_cast<Timer*>(timer->data)->self;
            keep->stop();
        });
    });
}

} // namespace mimicsh::lua
