// SPDX-License-Identifier: MIT
// Tasks that wait for a file descriptor: until it can be read or written, a time has passed, or its owner
// wakes them.
#pragma once

#include <optional>

#include "bindings/loop.h"

namespace mimicsh::lua {

/// Those who wait for one descriptor; a member of whatever owns it.
class FdWaiters {
  public:
    /// `return waiters.wait(...)` from a bound function: blocks the task. Its result is true to look again,
    /// false after `seconds`. The loop polls a copy of the descriptor, so that the owner may close it
    /// meanwhile; with -1 only time and `wake` end the wait.
    int wait(lua_State* L, int fd, int events, const char* op, std::optional<double> seconds);
    /// All of them look again.
    void wake();

  private:
    struct Wait;
    std::vector<std::weak_ptr<Wait>> waits_;
};

} // namespace mimicsh::lua
