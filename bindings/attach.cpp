// SPDX-License-Identifier: MIT
// Modules xdp, tc, cgroup and link: attaching programs of the kernel target, and what is attached.
#include "bindings/attach.h"

#include "bindings/bpf.h"
#include "bindings/loop.h"
#include "bindings/modules.h"

namespace mimicsh::lua {

void push_link_info(lua_State* L, const kernel::LinkInfo& info) {
    lua_createtable(L, 0, 12);
    const auto text = [&](const char* field, const std::string& value) {
        if (!value.empty()) {
            push_string(L, value);
            lua_setfield(L, -2, field);
        }
    };
    const auto number = [&](const char* field, uint32_t value) {
        if (value != 0) {
            lua_pushnumber(L, value);
            lua_setfield(L, -2, field);
        }
    };
    text("kind", info.kind);
    text("device", info.device);
    number("ifindex", info.ifindex);
    text("dir", info.direction);
    text("mode", info.mode);
    number("id", info.link_id);
    number("prog_id", info.prog_id);
    text("program", info.program);
    number("prio", info.priority);
    number("handle", info.handle);
    text("pinned", info.pinned);
    text("note", info.note);
    lua_pushboolean(L, info.ours ? 1 : 0);
    lua_setfield(L, -2, "is_ours");
}

namespace {

/// The link that option `replace` names gets the program, and is the result.
bool replaced(lua_State* L, Options& options, Program& program, int& results) {
    options.push("replace");
    const int index = lua_gettop(L);
    if (lua_isnil(L, index)) {
        lua_pop(L, 1);
        return false;
    }
    options.finish();
    const auto done = check<LinkRef>(L, index, "replace").link->update(program);
    results = done ? 1 : push_failure(L, done.error()); // the link itself is on top
    return true;
}

int xdp_attach(lua_State* L) {
    Program& program = check_program(L, 1);
    const std::string device(check_string(L, 2, "device"));
    Options options(L, 3, "attach");
    const kernel::XdpOptions xdp{choose(L, options, "mode", kXdpModes)};
    if (int results = 0; replaced(L, options, program, results)) {
        return results;
    }
    options.finish();
    return push_link(L, kernel::attach_xdp(program, device, xdp));
}

int tc_attach(lua_State* L) {
    using kernel::Direction;
    static constexpr std::pair<const char*, Direction> kDirections[] = {{"ingress", Direction::Ingress},
                                                                        {"egress", Direction::Egress}};
    Program& program = check_program(L, 1);
    const std::string device(check_string(L, 2, "device"));
    Options options(L, 3, "attach");
    kernel::TcOptions tc;
    tc.direction = choose(L, options, "dir", kDirections);
    tc.kind = choose(L, options, "kind", kTcKinds);
    tc.priority = static_cast<uint32_t>(options.number("prio", 1, 65535).value_or(0));
    if (int results = 0; replaced(L, options, program, results)) {
        return results;
    }
    options.finish();
    return push_link(L, kernel::attach_tc(program, device, tc));
}

int cgroup_attach(lua_State* L) {
    Program& program = check_program(L, 1);
    return push_link(L, kernel::attach_cgroup(program, std::string(check_string(L, 2, "path"))));
}

int link_list(lua_State* L) {
    const auto links = kernel::list_links();
    if (!links) {
        return push_failure(L, links.error());
    }
    lua_createtable(L, static_cast<int>(links->size()), 0);
    for (size_t i = 0; i < links->size(); ++i) {
        push_link_info(L, (*links)[i]);
        lua_rawseti(L, -2, static_cast<int>(i) + 1);
    }
    return 1;
}

int link_detach(lua_State* L) {
    return push_done(L, check<LinkRef>(L, 1, "link").link->detach());
}

int link_update(lua_State* L) {
    LinkRef& ref = check<LinkRef>(L, 1, "link");
    return push_done(L, ref.link->update(check_program(L, 2)));
}

int link_pin(lua_State* L) {
    LinkRef& ref = check<LinkRef>(L, 1, "link");
    return push_done(L, ref.link->pin(std::string(check_string(L, 2, "path"))));
}

int link_index(lua_State* L) {
    const LinkRef& ref = check<LinkRef>(L, 1, "link");
    const auto name = check_string(L, 2, "name");
    if (name == "info") {
        push_link_info(L, ref.link->info());
    } else if (name == "is_attached") {
        lua_pushboolean(L, ref.link->is_attached() ? 1 : 0);
    } else {
        lua_pushvalue(L, 2);
        lua_rawget(L, lua_upvalueindex(1));
        if (lua_isnil(L, -1)) {
            fail(L, "a link has no field or method '" + std::string(name) + "'");
        }
    }
    return 1;
}

int link_tostring(lua_State* L) {
    const LinkRef& ref = check<LinkRef>(L, 1, "link");
    const kernel::LinkInfo& info = ref.link->info();
    std::string text = "link " + info.kind + (info.mode.empty() ? "" : " " + info.mode) +
                       (info.direction.empty() ? "" : " " + info.direction) + " on " + info.device + ": " +
                       info.program + (ref.link->is_attached() ? "" : " (detached)");
    if (!info.note.empty()) {
        text += "; " + info.note;
    }
    push_string(L, text);
    return 1;
}

constexpr Function kXdp[] = {
    {"attach", &guard<&xdp_attach>,
     "xdp.attach(prog, device, {mode=\"auto\"|\"native\"|\"skb\"|\"hw\", replace=link}) -> link | nil, err\n"
     "Attaches an XDP program of the kernel target. auto tries native and falls back to skb; link.info.note "
     "says why. Never replaces a program that is there; replace= updates a link of this script in place."},
};
constexpr Function kTc[] = {
    {"attach", &guard<&tc_attach>,
     "tc.attach(prog, device, {dir=\"ingress\"|\"egress\", kind=\"auto\"|\"tcx\"|\"clsact\", prio=, "
     "replace=link}) -> link | nil, err\nAttaches a classifier of the kernel target: by tcx, and on kernels "
     "before 6.6 on clsact with a handle and a priority of its own. What others attached stays."},
};
constexpr Function kCgroup[] = {
    {"attach", &guard<&cgroup_attach>,
     "cgroup.attach(prog, path) -> link | nil, err\nAttaches a cgroup_skb program to a cgroup (version 2) by "
     "the path of its folder; the program's section says ingress or egress."},
};
constexpr Function kLink[] = {
    {"list", &guard<&link_list>,
     "link.list() -> list | nil, err\nEvery XDP program, tcx link and clsact filter on the interfaces of "
     "this "
     "network namespace, ours (is_ours) or not: {kind=, device=, ifindex=, dir=, mode=, id=, prog_id=, "
     "program=, prio=, handle=, is_ours=}."},
};
constexpr Function kLinkMethods[] = {
    {"detach", &guard<&link_detach>,
     "link:detach() -> true | nil, err\nEnds the attachment; again does nothing. A pinned link loses its "
     "pin."},
    {"update", &guard<&link_update>,
     "link:update(prog) -> true | nil, err\nPuts another program of the same type in its place; no packet "
     "passes without one meanwhile."},
    {"pin", &guard<&link_pin>,
     "link:pin(path) -> true | nil, err\nKeeps the link alive beyond this process, under a path of a bpf "
     "file "
     "system."},
};

/// Gives links their methods; once is enough.
void register_link(lua_State* L) {
    push_metatable<LinkRef>(L);
    lua_getfield(L, -1, "__index");
    if (lua_istable(L, -1)) {
        set_functions(L, "link:", kLinkMethods);
        lua_pushcclosure(L, &guard<&link_index>, 1);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, &guard<&link_tostring>);
        lua_setfield(L, -2, "__tostring");
    } else {
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void open_module(lua_State* L, const char* prefix, std::span<const Function> functions) {
    register_link(L);
    lua_newtable(L);
    set_functions(L, prefix, functions);
}

} // namespace

int push_link(lua_State* L, Expected<std::unique_ptr<kernel::Link>> link) {
    if (!link) {
        return push_failure(L, link.error());
    }
    register_link(L); // promotions make links without these modules
    auto ref = std::make_shared<LinkRef>(std::move(*link));
    if (ref->link->info().ifindex != 0) { // not that of a cgroup
        Loop::of(L).ends_with_lab(ref);
    }
    push_owner(L, std::move(ref));
    // The prompt names the links that are left.
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.core");
    lua_getfield(L, -1, "links");
    lua_pushvalue(L, -4);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 3);
    return 1;
}

void open_link(lua_State* L) {
    open_module(L, "link.", kLink);
}

void open_xdp(lua_State* L) {
    open_module(L, "xdp.", kXdp);
}

void open_tc(lua_State* L) {
    open_module(L, "tc.", kTc);
}

void open_cgroup(lua_State* L) {
    open_module(L, "cgroup.", kCgroup);
}

} // namespace mimicsh::lua
