// SPDX-License-Identifier: MIT
// Child processes beside the tasks: started in the network namespace of the task, waited for without holding
// up the others.
#pragma once

#include <memory>
#include <string>

#include "bindings/loop.h"

namespace mimicsh::lua {

struct Process;

template <>
inline constexpr const char* kTypeName<Process> = "process";

/// spawn(args, input) -> process | nil, err. It is killed when this process ends, however that happens.
int spawn_process(lua_State* L);
/// wait(process) -> exit status (128 + signal), output, errors. Blocks the task.
int wait_process(lua_State* L);
/// kill(process, signal): SIGKILL ends all that it has started too. Does nothing when it has ended.
int kill_process(lua_State* L);

} // namespace mimicsh::lua
