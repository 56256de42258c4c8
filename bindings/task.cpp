// SPDX-License-Identifier: MIT
// Module task: spawn and join; the primitives that lua/task.lua builds channels from.
#include "bindings/loop.h"
#include "bindings/modules.h"

namespace mimicsh::lua {

/// A blocked place that Lua code may wake.
template <>
inline constexpr const char* kTypeName<Wake> = "waker";

namespace {

int spawn(lua_State* L) {
    check_function(L, 1, "fn");
    auto task = Loop::of(L).spawn(L, lua_gettop(L) - 1, "task");
    push_owner(L, task);
    return 1;
}

int join(lua_State* L) {
    Task& task = check<Task>(L, 1, "task");
    Loop& loop = Loop::of(L);
    if (task.state == Task::State::Done) {
        const int values = lua_gettop(task.co);
        luaL_checkstack(L, values, "too many results");
        for (int i = 1; i <= values; i++) {
            lua_pushvalue(task.co, i);
        }
        lua_xmove(task.co, L, values);
        return values;
    }
    if (task.state == Task::State::Failed) {
        lua_pushnil(L);
        lua_pushvalue(task.co, -1);
        lua_xmove(task.co, L, 1);
        return 2;
    }
    if (loop.current().get() == &task) {
        fail(L, "task.join: a task cannot wait for itself");
    }
    auto wake = loop.prepare_block(L, "task.join");
    task.joiners.emplace_back(wake.task, wake.wait_id);
    return loop.block(L);
}

int status(lua_State* L) {
    static constexpr const char* kNames[] = {"ready", "running", "blocked", "done", "failed"};
    lua_pushstring(L, kNames[static_cast<size_t>(check<Task>(L, 1, "task").state)]);
    return 1;
}

/// waker() -> waker for the block that must follow at once.
int make_waker(lua_State* L) {
    const std::string op(check_string(L, 1, "op"));
    static std::set<std::string> names; // the loop keeps the pointer for its reports
    auto wake = std::make_shared<Wake>(Loop::of(L).prepare_block(L, names.insert(op).first->c_str()));
    push_owner(L, wake);
    return 1;
}

int block(lua_State* L) {
    Loop& loop = Loop::of(L);
    if (loop.current() == nullptr || lua_isyieldable(L) == 0) {
        fail(L, "would block: call it from a task");
    }
    return loop.block(L);
}

/// wake(waker, ...) -> whether the blocked task gets the values.
int wake(lua_State* L) {
    const Wake target = check<Wake>(L, 1, "waker");
    lua_pushboolean(L, Loop::of(L).wake(target, L, lua_gettop(L) - 1));
    return 1;
}

int current(lua_State* L) {
    const auto& task = Loop::of(L).current();
    if (task == nullptr) {
        return 0;
    }
    lua_pushlightuserdata(L, task.get());
    return 1;
}

constexpr Function kTask[] = {
    {"spawn", &guard<&spawn>,
     "task.spawn(fn, ...) -> task\nRuns fn(...) as a task beside the others; it starts when the caller "
     "blocks or "
     "ends.\nlocal t = task.spawn(function(a, b) return a + b end, 2, 3)\nprint(task.join(t)) --> 5"},
    {"join", &guard<&join>,
     "task.join(t) -> results | nil, err\nWaits for the end of a task; its error comes back as nil, err.\n"
     "print(task.join(task.spawn(function() error({}) end)) == nil) --> true"},
    {"waker", &guard<&make_waker>},
    {"block", &guard<&block>},
    {"wake", &guard<&wake>},
    {"current", &guard<&current>},
};

constexpr Function kTaskMethods[] = {
    {"join", &guard<&join>,
     "t:join() -> results | nil, err\nThe same as task.join(t).\n"
     "print(task.spawn(function() return 7 end):join()) --> 7"},
    {"status", &guard<&status>,
     "t:status() -> string\nready, running, blocked, done or failed.\n"
     "print(task.spawn(print):status()) --> ready"},
};

} // namespace

void open_task(lua_State* L) {
    push_metatable<Task>(L);
    lua_getfield(L, -1, "__index");
    set_functions(L, "task:", kTaskMethods);
    lua_pop(L, 2);
    push_metatable<Wake>(L);
    lua_pop(L, 1);
    lua_newtable(L);
    set_functions(L, "task.", kTask);
}

} // namespace mimicsh::lua
