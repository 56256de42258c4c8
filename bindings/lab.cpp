// SPDX-License-Identifier: MIT
// Module lab: network namespaces and their devices; lua/lab.lua makes hosts and wires of them.
#include "bindings/lab.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

#include "bindings/loop.h"
#include "bindings/modules.h"
#include "bindings/process.h"
#include "kernel/devices.h"

namespace mimicsh::lua {

namespace {

using kernel::NetNs;
using kernel::NetNsScope;

std::shared_ptr<NetNs> check_namespace(lua_State* L, int index) {
    (void)check<NetNs>(L, index, "namespace");
    return *test_owner<NetNs>(L, index);
}

/// Runs `act` inside the namespace at index 1.
template <typename Act>
int inside(lua_State* L, Act act) {
    const NetNsScope scope(check_namespace(L, 1));
    return push_done(L, scope.status() ? act() : scope.status());
}

std::string text(lua_State* L, int index, const char* name) {
    return std::string(check_string(L, index, name));
}

/// create() -> namespace | nil, err.
int create(lua_State* L) {
    auto made = NetNs::create();
    if (!made) {
        return push_failure(L, made.error());
    }
    push_owner(L, std::move(*made));
    return 1;
}

/// close(namespace): ends it; its devices are gone with its last holder.
int close_namespace(lua_State* L) {
    (void)check<NetNs>(L, 1, "namespace");
    auto& held = *test_owner<NetNs>(L, 1);
    held->end();
    held.reset();
    return 0;
}

/// enter(namespace | nil) -> the namespace that the task was in before, nil for the shell's own. Holds from
/// now on for the task, whenever it runs.
int enter(lua_State* L) {
    Loop& loop = Loop::of(L);
    auto wanted = lua_isnil(L, 1) ? nullptr : check_namespace(L, 1);
    const auto before = loop.current()->where;
    if (auto ok = loop.move(std::move(wanted)); !ok) {
        fail(L, ok.error().message());
    }
    if (before == nullptr) {
        lua_pushnil(L);
    } else {
        push_owner(L, before);
    }
    return 1;
}

/// veth(ns_a, name_a, mac_a, ns_b, name_b, mac_b, mtu) -> true | nil, err; "" and 0 leave it to the kernel.
int veth(lua_State* L) {
    const kernel::VethEnd a{check_namespace(L, 1), text(L, 2, "name"), text(L, 3, "mac")};
    const kernel::VethEnd b{check_namespace(L, 4), text(L, 5, "name"), text(L, 6, "mac")};
    return push_done(L,
                     kernel::create_veth(a, b, static_cast<uint32_t>(check_unsigned(L, 7, "mtu", 0, 65535))));
}

int bridge(lua_State* L) {
    return inside(L, [&] { return kernel::create_bridge(text(L, 2, "name")); });
}

int master(lua_State* L) {
    return inside(L, [&] { return kernel::set_master(text(L, 2, "device"), text(L, 3, "bridge")); });
}

int up(lua_State* L) {
    return inside(L, [&] { return kernel::set_up(text(L, 2, "device"), lua_toboolean(L, 3) != 0); });
}

/// running(ns, device) -> whether it passes packets | nil, err.
int running(lua_State* L) {
    const NetNsScope scope(check_namespace(L, 1));
    const auto state = kernel::is_running(text(L, 2, "device"));
    if (!state) {
        return push_failure(L, state.error());
    }
    lua_pushboolean(L, *state ? 1 : 0);
    return 1;
}

int mtu(lua_State* L) {
    return inside(L, [&] {
        return kernel::set_mtu(text(L, 2, "device"),
                               static_cast<uint32_t>(check_unsigned(L, 3, "mtu", 1, UINT32_MAX)));
    });
}

int remove_device(lua_State* L) {
    return inside(L, [&] { return kernel::delete_device(text(L, 2, "device")); });
}

int address(lua_State* L) {
    return inside(L, [&] { return kernel::add_address(text(L, 2, "device"), text(L, 3, "address")); });
}

/// route(ns, to, via, dev) -> true | nil, err.
int route(lua_State* L) {
    return inside(L, [&] {
        return kernel::add_route({text(L, 2, "to"), text(L, 3, "via"), text(L, 4, "dev")});
    });
}

int set_offload(lua_State* L) {
    return inside(L, [&] {
        return kernel::set_offload(text(L, 2, "device"), text(L, 3, "offload"), lua_toboolean(L, 4) != 0);
    });
}

int get_offload(lua_State* L) {
    const NetNsScope scope(check_namespace(L, 1));
    const auto state = kernel::offload(text(L, 2, "device"), text(L, 3, "offload"));
    if (!state) {
        return push_failure(L, state.error());
    }
    lua_pushboolean(L, *state ? 1 : 0);
    return 1;
}

int offload_names(lua_State* L) {
    lua_newtable(L);
    int index = 0;
    for (const std::string& name : kernel::offload_names()) {
        push_string(L, name);
        lua_rawseti(L, -2, ++index);
    }
    return 1;
}

/// sysctl(ns, "net/ipv4/ip_forward", "1") -> true | nil, err.
int sysctl(lua_State* L) {
    return inside(L, [&]() -> Status {
        const std::string path = "/proc/sys/" + text(L, 2, "name");
        const std::string value = text(L, 3, "value");
        const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!file.valid() || ::write(file.get(), value.data(), value.size()) < 0) {
            return errno_error(errno, "lab", path);
        }
        return {};
    });
}

constexpr Function kLab[] = {
    {"create", &guard<&create>},
    {"close", &guard<&close_namespace>},
    {"enter", &guard<&enter>},
    {"veth", &guard<&veth>},
    {"bridge", &guard<&bridge>},
    {"master", &guard<&master>},
    {"up", &guard<&up>},
    {"running", &guard<&running>},
    {"mtu", &guard<&mtu>},
    {"remove_device", &guard<&remove_device>},
    {"address", &guard<&address>},
    {"route", &guard<&route>},
    {"set_offload", &guard<&set_offload>},
    {"get_offload", &guard<&get_offload>},
    {"offload_names", &guard<&offload_names>},
    {"sysctl", &guard<&sysctl>},
    {"spawn", &guard<&spawn_process>},
    {"process_wait", &guard<&wait_process>},
    {"process_kill", &guard<&kill_process>},
};

} // namespace

void open_lab(lua_State* L) {
    push_metatable<NetNs>(L);
    push_metatable<Process>(L);
    lua_pop(L, 2);
    lua_newtable(L);
    set_functions(L, "lab.", kLab);
}

} // namespace mimicsh::lua
