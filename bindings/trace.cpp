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

struct TracePipe {
    Fd fd; ///< invalid when closed
    FdWaiters waiters;
};

} // namespace

template <>
inline constexpr const char* kTypeName<TracePipe> = "trace pipe";

namespace {

int open(lua_State* L) {
    auto fd = kernel::open_trace_pipe();
    if (!fd) {
        return push_failure(L, fd.error());
    }
    auto pipe = std::make_shared<TracePipe>();
    pipe->fd = std::move(*fd);
    push_owner(L, std::move(pipe));
    return 1;
}

/// read(pipe) -> text, "" when there is none at hand | nil when closed.
int read(lua_State* L) {
    TracePipe& pipe = check<TracePipe>(L, 1, "pipe");
    if (!pipe.fd.valid()) {
        return 0;
    }
    std::array<char, 65536> text{};
    const ssize_t got = ::read(pipe.fd.get(), text.data(), text.size());
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        fail(L, errno_error(errno, "trace", "trace_pipe").message());
    }
    push_string(L, std::string_view(text.data(), got > 0 ? static_cast<size_t>(got) : 0));
    return 1;
}

/// wait(pipe [, seconds]) -> true to look again | false after that time. Blocks the task.
int wait(lua_State* L) {
    TracePipe& pipe = check<TracePipe>(L, 1, "pipe");
    const auto seconds =
        lua_isnoneornil(L, 2) ? std::nullopt : std::optional(check_duration(L, 2, "timeout"));
    return pipe.waiters.wait(L, pipe.fd.get(), UV_READABLE, "trace", seconds);
}

int close(lua_State* L) {
    TracePipe& pipe = check<TracePipe>(L, 1, "pipe");
    pipe.fd.reset();
    pipe.waiters.wake();
    return 0;
}

constexpr Function kTrace[] = {
    {"open", &guard<&open>}, {"read", &guard<&read>}, {"wait", &guard<&wait>}, {"close", &guard<&close>}};

} // namespace

void open_trace(lua_State* L) {
    push_metatable<TracePipe>(L);
    lua_pop(L, 1);
    lua_newtable(L);
    set_functions(L, "trace.", kTrace);
}

} // namespace mimicsh::lua
