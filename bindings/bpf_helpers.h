// SPDX-License-Identifier: MIT
// Helpers written in Lua, for the vm.
#pragma once

#include "bindings/bpf.h"
#include "vm/user_helper.h"

namespace mimicsh::lua {

/// The option `helpers`: a table from name or number to function; raises on anything else.
[[nodiscard]] vm::UserHelpers take_helpers(lua_State* L, Options& options);

/// Makes the type of the memory that such a function gets.
void set_helper_memory(lua_State* L);

} // namespace mimicsh::lua
