// SPDX-License-Identifier: MIT
// A Lua state with the loop, our require, and the built-in modules ready to be required.
#include "bindings/state.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "bindings/modules.h"
#include "net/show.h"
#include "object/abi.h"

namespace mimicsh::lua {

namespace {

// A new module is one row here, one open_<name> in its .cpp, one lua/<name>.lua if it has a Lua half.
constexpr Module kModules[] = {
    {"bpf", &open_bpf, true, "objects, programs, maps: compile, load, run, replay"},
    {"vm", &open_vm, false, "what the emulator supports"},
    {"pkt", &open_pkt, false, "packets: build, parse, show, compare"},
    {"pcap", &open_pcap, true, "captures: read and write pcap and pcapng, live from devices"},
    {"raw", &open_raw, true, "packets past the stack: sockets of devices and protocols, keepalives"},
    {"traffic", &open_traffic, true, "many packets out of a device, at a rate or as fast as it goes"},
    {"context", nullptr, true, "files of contexts: load, save, from captures"},
    {"xdp", &open_xdp, false, "attach XDP programs to interfaces"},
    {"tc", &open_tc, false, "attach classifiers to interfaces"},
    {"cgroup", &open_cgroup, false, "attach programs to the sockets of a cgroup"},
    {"link", &open_link, false, "what is attached, ours or not"},
    {"kernel", &open_kernel, false, "what the running kernel can do"},
    {"trace", &open_trace, true, "what programs in the kernel print"},
    {"lab", &open_lab, true, "hosts in network namespaces, joined by wires"},
    {"json", &open_json, false, "JSON, 64-bit integers exact both ways"},
    {"test", nullptr, true, "test cases in TAP form, each XDP case on both targets"},
    {"session", nullptr, true, "the session at the prompt: settings, results, statements as a script"},
    {"timer", &open_timer, false, "after, every, sleep"},
    {"task", &open_task, true, "tasks and channels"},
};

/// Source of a Lua half: from the folder MIMICSH_LUA when set, else from the binary.
bool find_lua(lua_State* L, std::string_view name, std::string& text) {
    const char* folder = std::getenv("MIMICSH_LUA");
    if (folder != nullptr && *folder != '\0') {
        const auto bytes = read_file(std::string(folder) + "/" + std::string(name) + ".lua", "load lua half");
        if (!bytes) {
            fail(L, bytes.error().message());
        }
        text = as_text(*bytes);
        return true;
    }
    for (const auto& half : embedded_lua()) {
        if (half.name == name) {
            text = half.text;
            return true;
        }
    }
    return false;
}

/// load_half(name) -> the compiled chunk of lua/<name>.lua, or nil.
int load_half(lua_State* L) {
    const std::string name(check_string(L, 1, "name"));
    for (const auto& half : embedded_lua()) {
        if (half.name == name) {
            std::string text;
            if (!find_lua(L, name, text)) {
                return 0;
            }
            if (luaL_loadbuffer(L, text.data(), text.size(), ("=[mimicsh " + name + "]").c_str()) != 0) {
                return lua_error(L);
            }
            return 1;
        }
    }
    return 0;
}

/// open(name) -> C table of a module (or nil), true when it has a Lua half; nothing for an unknown name.
int open_module(lua_State* L) {
    const std::string_view name = check_string(L, 1, "name");
    for (const auto& module : kModules) {
        if (module.name == name) {
            if (module.open != nullptr) {
                module.open(L);
            } else {
                lua_pushnil(L);
            }
            lua_pushboolean(L, module.has_lua);
            return 2;
        }
    }
    return 0;
}

/// list_folder(path) -> {names}, folders with a slash behind them; empty when it cannot be read.
int list_folder(lua_State* L) {
    const std::string path(check_string(L, 1, "path"));
    lua_newtable(L);
    int index = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
        const bool is_folder = entry.is_directory(ignored);
        push_string(L, entry.path().filename().string() + (is_folder ? "/" : ""));
        lua_rawseti(L, -2, ++index);
    }
    return 1;
}

int list_modules(lua_State* L) {
    lua_newtable(L);
    int index = 0;
    for (const auto& module : kModules) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, module.name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, module.line);
        lua_setfield(L, -2, "line");
        lua_rawseti(L, -2, ++index);
    }
    return 1;
}

/// tasks() -> {{task=, state=}}: those that run or wait, the running one aside.
int tasks(lua_State* L) {
    lua_newtable(L);
    int index = 0;
    for (const auto& task : Loop::of(L).waiting()) {
        lua_createtable(L, 0, 2);
        push_string(L, task->name);
        lua_setfield(L, -2, "task");
        push_string(L, task->state == Task::State::Blocked ? std::string("waits in ") + task->op : "ready");
        lua_setfield(L, -2, "state");
        lua_rawseti(L, -2, ++index);
    }
    append_timers(L);
    return 1;
}

int docs(lua_State* L) {
    push_docs(L);
    return 1;
}

/// doc(name, fn, text): keeps the doc text of a Lua function.
int add_doc(lua_State* L) {
    const std::string name(check_string(L, 1, "name"));
    check_function(L, 2, "fn");
    const std::string text(check_string(L, 3, "text"));
    lua_pushvalue(L, 2);
    set_doc(L, name, text);
    return 0;
}

/// fail(message): raises at the nearest user code.
int raise(lua_State* L) {
    fail(L, std::string(check_string(L, 1, "message")));
}

/// error_object{code=, op=, msg=, hint=, log=}: the error value that functions return after nil.
int error_object(lua_State* L) {
    Options fields(L, 1, "error");
    Error error;
    const auto name = fields.string("code");
    error.code = name == "ENOTSUP" ? ENOTSUP : 0;
    for (int code = 1; name && error.code == 0 && code < 134; code++) {
        if (Error{code, "", "", "", ""}.code_name() == *name) {
            error.code = code;
        }
    }
    error.op = fields.string("op").value_or("");
    error.text = fields.string("msg").value_or("");
    error.hint = fields.string("hint").value_or("");
    error.log = fields.string("log").value_or("");
    fields.finish();
    push_error(L, error);
    return 1;
}

int is_error_object(lua_State* L) {
    lua_pushboolean(L, is_error(L, 1));
    return 1;
}

int is_interrupt_object(lua_State* L) {
    lua_pushboolean(L, is_interrupt(L, 1) ? 1 : 0);
    return 1;
}

/// helper_name(id) -> name without bpf_, nothing for a number that no helper has.
int helper_name(lua_State* L) {
    const uint64_t id = check_unsigned(L, 1, "id", 0, UINT32_MAX);
    if (id == 0 || id >= abi::kHelperCount) {
        return 0;
    }
    push_string(L, abi::helper_name(static_cast<uint32_t>(id)));
    return 1;
}

/// is_prog_type(name) -> boolean.
int is_prog_type(lua_State* L) {
    lua_pushboolean(L, abi::prog_type(check_string(L, 1, "prog_type")).has_value() ? 1 : 0);
    return 1;
}

/// duration(value, name) -> seconds.
int duration(lua_State* L) {
    const std::string name(check_string(L, 2, "name"));
    lua_pushnumber(L, check_duration(L, 1, name.c_str()));
    return 1;
}

/// position(level) -> source, line of a stack level, for texts that carry their origin (source strings in
/// scripts).
int user_position(lua_State* L) {
    lua_Debug frame;
    for (int level = 0; lua_getstack(L, level, &frame) != 0; level++) {
        lua_getinfo(L, "Sl", &frame);
        if (frame.currentline > 0 && !is_internal_source(frame.source)) {
            lua_pushstring(L, frame.source);
            lua_pushinteger(L, frame.currentline);
            return 2;
        }
    }
    return 0;
}

/// caret_of(log) -> the line of source with its caret, below a line break, or "".
int caret(lua_State* L) {
    push_string(L, caret_of(std::string(check_string(L, 1, "log"))));
    return 1;
}

/// metatable(typename) -> the metatable of an owner type, for the Lua halves to extend.
int metatable(lua_State* L) {
    const std::string name(check_string(L, 1, "type"));
    luaL_getmetatable(L, name.c_str());
    return 1;
}

/// Columns of the terminal that standard output is (`columns` of the configuration in its stead), nothing for
/// pipes.
int columns(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.config");
    lua_getfield(L, -1, "columns");
    if (!lua_isnil(L, -1)) {
        return 1;
    }
    winsize size{};
    if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return 0;
    }
    lua_pushinteger(L, size.ws_col);
    return 1;
}

/// hexdump(bytes) -> lines.
int hexdump(lua_State* L) {
    const std::string_view bytes = check_string(L, 1, "bytes");
    push_string(
        L, net::hexdump({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, bytes_per_line(L)));
    return 1;
}

constexpr Function kCore[] = {
    {"load_half", &guard<&load_half>},
    {"open_module", &guard<&open_module>},
    {"list_modules", &guard<&list_modules>},
    {"list_folder", &guard<&list_folder>},
    {"tasks", &guard<&tasks>},
    {"docs", &guard<&docs>},
    {"doc", &guard<&add_doc>},
    {"fail", &guard<&raise>},
    {"error_object", &guard<&error_object>},
    {"is_error", &guard<&is_error_object>},
    {"is_interrupt", &guard<&is_interrupt_object>},
    {"helper_name", &guard<&helper_name>},
    {"is_prog_type", &guard<&is_prog_type>},
    {"duration", &guard<&duration>},
    {"caret_of", &guard<&caret>},
    {"user_position", &guard<&user_position>},
    {"metatable", &guard<&metatable>},
    {"columns", &guard<&columns>},
    {"hexdump", &guard<&hexdump>},
};

void push_config(lua_State* L, const Config& config) {
    lua_newtable(L);
    const auto set = [L](const char* name, bool value) {
        lua_pushboolean(L, value);
        lua_setfield(L, -2, name);
    };
    set("color", config.color);
    set("json", config.json);
    set("progress", config.progress);
    set("verbose", config.verbose);
    lua_pushnumber(L, static_cast<double>(config.seed));
    lua_setfield(L, -2, "seed");
}

} // namespace

std::span<const Module> modules() {
    return kModules;
}

size_t bytes_per_line(lua_State* L) {
    const int top = lua_gettop(L);
    const double room = columns(L) == 1 ? lua_tonumber(L, -1) : 80;
    lua_settop(L, top);
    // "0000  ", three columns for a byte and one for its letter.
    return room >= 74 ? 16 : room >= 41 ? 8 : room >= 24 ? 4 : 1;
}

State::State(const Config& config) : L_(luaL_newstate()) {
    if (L_ == nullptr) {
        throw std::bad_alloc();
    }
    lua_gc(L_, LUA_GCSTOP, 0); // building the libraries makes nothing worth collecting
    luaL_openlibs(L_);
    loop_ = std::make_unique<Loop>(L_);
    lua_getglobal(L_, "package");
    lua_getfield(L_, -1, "loaded");
    push_config(L_, config);
    lua_setfield(L_, -2, "mimicsh.config");
    lua_newtable(L_);
    set_functions(L_, "", kCore);
    lua_pushvalue(L_, -1);
    lua_setfield(L_, -3, "mimicsh.core");
    lua_pop(L_, 3);

    lua_pushcfunction(L_, &guard<&load_half>);
    lua_pushstring(L_, "prelude");
    if (lua_pcall(L_, 1, 1, 0) != 0 || lua_isnil(L_, -1)) {
        throw std::runtime_error(lua_isstring(L_, -1) ? lua_tostring(L_, -1) : "prelude missing");
    }
    lua_getfield(L_, LUA_REGISTRYINDEX, "mimicsh.block");
    if (lua_pcall(L_, 1, 0, 0) != 0) {
        throw std::runtime_error(lua_isstring(L_, -1) ? lua_tostring(L_, -1) : "prelude failed");
    }
    lua_gc(L_, LUA_GCRESTART, 0);
}

State::~State() {
    loop_.reset();
    lua_close(L_);
}

Status dump_lua(const std::string& folder) {
    std::error_code failure;
    std::filesystem::create_directories(folder, failure);
    if (failure) {
        return errno_error(failure.value(), "dump lua", folder);
    }
    for (const auto& half : embedded_lua()) {
        const std::string path = folder + "/" + std::string(half.name) + ".lua";
        if (auto written = write_file(path, as_bytes(half.text), "dump lua"); !written) {
            return written.error();
        }
    }
    return {};
}

} // namespace mimicsh::lua
