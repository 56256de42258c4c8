// SPDX-License-Identifier: MIT
// A network namespace as scripts hold it.
#pragma once

#include "bindings/lua_glue.h"
#include "kernel/netns.h"

namespace mimicsh::lua {

template <>
inline constexpr const char* kTypeName<kernel::NetNs> = "namespace";

} // namespace mimicsh::lua
