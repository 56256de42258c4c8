// SPDX-License-Identifier: MIT
// The C parts of the built-in modules, one .cpp each; each leaves its module table on the stack.
#pragma once

#include "bindings/lua_glue.h"

namespace mimicsh::lua {

void open_timer(lua_State* L);
void open_task(lua_State* L);
void open_json(lua_State* L);
void open_bpf(lua_State* L);
void open_pkt(lua_State* L);
void open_pcap(lua_State* L);
void open_vm(lua_State* L);
void open_xdp(lua_State* L);
void open_tc(lua_State* L);
void open_cgroup(lua_State* L);
void open_link(lua_State* L);
void open_kernel(lua_State* L);
void open_traffic(lua_State* L);
void open_raw(lua_State* L);
void open_trace(lua_State* L);
void open_lab(lua_State* L);

/// Adds the timers that are armed to the list on top of the stack: {task=, state=}.
void append_timers(lua_State* L);

} // namespace mimicsh::lua
