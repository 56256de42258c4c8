// SPDX-License-Identifier: MIT
// Module kernel: what the running kernel can do, and which modules it has.
#include "bindings/modules.h"
#include "kernel/features.h"
#include "kernel/module_kfuncs.h"
#include "kernel/modules.h"

namespace mimicsh::lua {

namespace {

int features(lua_State* L) {
    lua_newtable(L);
    int index = 0;
    for (const kernel::Feature& feature : kernel::probe_features()) {
        lua_createtable(L, 0, 3);
        push_string(L, feature.name);
        lua_setfield(L, -2, "name");
        lua_pushboolean(L, feature.available ? 1 : 0);
        lua_setfield(L, -2, "available");
        push_string(L, feature.reason);
        lua_setfield(L, -2, "reason");
        lua_rawseti(L, -2, ++index);
    }
    return 1;
}

int module_info(lua_State* L) {
    const auto info = kernel::find_module(std::string(check_string(L, 1, "name")));
    kernel::ModuleKfuncs kfuncs{std::nullopt, {}, "it is not loaded"};
    if (info.is_loaded) {
        kfuncs = kernel::module_kfuncs(info.name);
    }
    lua_createtable(L, 0, 5);
    push_string(L, info.name);
    lua_setfield(L, -2, "name");
    lua_pushboolean(L, info.is_loaded ? 1 : 0);
    lua_setfield(L, -2, "is_loaded");
    push_string(L, info.version);
    lua_setfield(L, -2, "version");
    push_string(L, kfuncs.names ? kfuncs.from : kfuncs.reason);
    lua_setfield(L, -2, kfuncs.names ? "kfuncs_from" : "kfuncs_reason");
    if (kfuncs.names) {
        lua_createtable(L, static_cast<int>(kfuncs.names->size()), 0);
        int index = 0;
        for (const std::string& name : *kfuncs.names) {
            push_string(L, name);
            lua_rawseti(L, -2, ++index);
        }
        lua_setfield(L, -2, "kfuncs");
    }
    return 1;
}

int need(lua_State* L) {
    const auto ok = kernel::need_module(std::string(check_string(L, 1, "name")));
    if (!ok) {
        return push_failure(L, ok.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

constexpr Function kKernel[] = {
    {"features", &guard<&features>,
     "kernel.features() -> list of {name=, available=, reason=}\nWhat the running kernel and our privileges "
     "allow, found out by trying; nothing stays behind.\nprint(#kernel.features() > 5) --> true"},
    {"module", &guard<&module_info>,
     "kernel.module(name) -> {name=, is_loaded=, version=, kfuncs=, kfuncs_from= | kfuncs_reason=}\n"
     "Whether a kernel module is there, and its functions for programs, if that can be told.\n"
     "print(kernel.module(\"no_such_module\").is_loaded) --> false"},
    {"need", &guard<&need>,
     "kernel.need(name) -> true | nil, err\nAn error that says how to load a module that is not there.\n"
     "local _, err = kernel.need(\"no_such_module\")\nprint(err.code) --> ENOENT"},
};

} // namespace

void open_kernel(lua_State* L) {
    lua_newtable(L);
    set_functions(L, "kernel.", kKernel);
}

} // namespace mimicsh::lua
