// SPDX-License-Identifier: MIT
// Tasks that wait for a file descriptor, by uv_poll.
#include "bindings/fd_wait.h"

#include <cerrno>
#include <cmath>
#include <utility>

#include <fcntl.h>

#include "base/fd.h"

namespace mimicsh::lua {

/// One blocked task, which owns this; it ends with the block.
struct FdWaiters::Wait {
    lua_State* main = nullptr;
    Wake target;
    Fd fd;                       ///< an own copy: the loop takes each descriptor once
    uv_poll_t* poll = nullptr;   ///< of fd
    uv_timer_t* timer = nullptr; ///< with a time limit

    Wait() = default;
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    ~Wait() {
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
        const Wake blocked = target;
        lua_State* L = main;
        lua_pushboolean(L, look_again);
        Loop::of(L).wake(blocked, L, 1);
    }
};

int FdWaiters::wait(lua_State* L, int fd, int events, const char* op, std::optional<double> seconds) {
    Loop& loop = Loop::of(L);
    auto wait = std::make_shared<Wait>();
    wait->main = loop.state();
    wait->target = loop.prepare_block(L, op);
    if (fd >= 0) {
        wait->fd = Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        if (!wait->fd.valid()) {
            fail(L, errno_error(errno, op, "wait").message());
        }
        auto poll = std::make_unique<uv_poll_t>();
        if (const int code = uv_poll_init(loop.uv(), poll.get(), wait->fd.get()); code != 0) {
            fail(L, errno_error(-code, op, "wait").message());
        }
        wait->poll = poll.release();
        wait->poll->data = wait.get();
        uv_poll_start(wait->poll, events,
                      [](uv_poll_t* handle, int, int) { static_cast<Wait*>(handle->data)->end(true); });
    }
    if (seconds) {
        wait->timer = new uv_timer_t;
        uv_timer_init(loop.uv(), wait->timer);
        wait->timer->data = wait.get();
        uv_update_time(loop.uv());
        uv_timer_start(
            wait->timer, [](uv_timer_t* handle) { static_cast<Wait*>(handle->data)->end(false); },
            static_cast<uint64_t>(std::ceil(*seconds * 1e3)), 0);
    }
    std::erase_if(waits_, [](const auto& weak) { return weak.expired(); });
    waits_.push_back(wait);
    loop.current()->waits_on = std::move(wait);
    return loop.block(L);
}

void FdWaiters::wake() {
    for (const auto& weak : std::exchange(waits_, {})) {
        if (const auto wait = weak.lock()) {
            wait->end(true);
        }
    }
}

} // namespace mimicsh::lua
