// SPDX-License-Identifier: MIT
// Module trace: what programs in the kernel print; lua/trace.lua hands out lines.
#include <array>
#include <cerrno>

#include <unistd.h>

#include "bindings/fd_wait.h"
#include "bindings/modules.h"
#include "kernel/trace_pipe.h"

namespace mimicsh::lua {

namespace {

struct PipeRef {
    std::unique_ptr<kernel::TracePipe> pipe; ///< null when closed
    FdWaiters waiters;
};

} // namespace

template <>
inline constexpr const char* kTypeName<PipeRef> = "trace pipe";

namespace {

int open(lua_State* L) {
    auto pipe = kernel::TracePipe::open();
    if (!pipe) {
        return push_failure(L, pipe.error());
    }
    auto ref = std::make_shared<PipeRef>();
    ref->pipe = std::move(*pipe);
    push_owner(L, std::move(ref));
    return 1;
}

/// read(pipe) -> text, "" when there is none at hand | nil when closed.
int read(lua_State* L) {
    PipeRef& ref = check<PipeRef>(L, 1, "pipe");
    if (ref.pipe == nullptr) {
        return 0;
    }
    std::array<char, 65536> text{};
    const ssize_t got = ::read(ref.pipe->fd(), text.data(), text.size());
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        fail(L, errno_error(errno, "trace", "trace_pipe").message());
    }
    push_string(L, std::string_view(text.data(), got > 0 ? static_cast<size_t>(got) : 0));
    return 1;
}

/// wait(pipe [, seconds]) -> true to look again | false after that time. Blocks the task.
int wait(lua_State* L) {
    PipeRef& ref = check<PipeRef>(L, 1, "pipe");
    if (ref.pipe == nullptr) {
        return 0;
    }
    const auto seconds =
        lua_isnoneornil(L, 2) ? std::nullopt : std::optional(check_duration(L, 2, "timeout"));
    return ref.waiters.wait(L, ref.pipe->fd(), UV_READABLE, "trace", seconds);
}

int close(lua_State* L) {
    PipeRef& ref = check<PipeRef>(L, 1, "pipe");
    const auto pipe = std::move(ref.pipe); // goes last: those who wait hold it open too
    ref.waiters.wake();
    return 0;
}

constexpr Function kTrace[] = {
    {"open", &guard<&open>}, {"read", &guard<&read>}, {"wait", &guard<&wait>}, {"close", &guard<&close>}};

} // namespace

void open_trace(lua_State* L) {
    push_metatable<PipeRef>(L);
    lua_pop(L, 1);
    lua_newtable(L);
    set_functions(L, "trace.", kTrace);
}

} // namespace mimicsh::lua
