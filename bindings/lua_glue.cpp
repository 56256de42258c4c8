// SPDX-License-Identifier: MIT
// The border between C++ and Lua: argument checks, owners, errors as values, guarded functions with their doc
// text.
#include "bindings/lua_glue.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace mimicsh::lua {

namespace {

constexpr const char* kErrorType = "mimicsh.error";
constexpr const char* kDocs = "mimicsh.docs";
constexpr int kCdata = 10; // LUA_TCDATA: lua_type() of FFI values, not in lua.h

std::string describe(lua_State* L, int index) {
    const int type = lua_type(L, index);
    if (type == LUA_TNONE) {
        return "nothing";
    }
    if (luaL_getmetafield(L, index, "__name")) {
        std::string name = lua_isstring(L, -1) ? lua_tostring(L, -1) : "userdata";
        lua_pop(L, 1);
        return name;
    }
    return lua_typename(L, type);
}

int error_tostring(lua_State* L) {
    lua_settop(L, 1);
    const std::string op = error_field(L, 1, "op");
    const std::string msg = error_field(L, 1, "msg");
    push_string(L, op.empty() ? msg : op + ": " + msg);
    return 1;
}

int error_concat(lua_State* L) {
    lua_settop(L, 2);
    lua_getglobal(L, "tostring");
    lua_pushvalue(L, -1);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_insert(L, -2);
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    lua_concat(L, 2);
    return 1;
}

enum class Cdata64 : int { None, Unsigned, Signed };

/// Which 64-bit integer the cdata at index is, asked of the FFI itself.
Cdata64 cdata64(lua_State* L, int index) {
    static constexpr const char* kCode =
        "local ffi = require('ffi')\n"
        "local u, i = ffi.typeof('uint64_t'), ffi.typeof('int64_t')\n"
        "return function(x) return ffi.istype(u, x) and 1 or ffi.istype(i, x) and 2 "
        "or 0 end";
    if (lua_type(L, index) != kCdata) {
        return Cdata64::None;
    }
    lua_pushvalue(L, index);
    lua_getfield(L, LUA_REGISTRYINDEX, "mimicsh.cdata64");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        if (luaL_loadbuffer(L, kCode, std::strlen(kCode), "=[mimicsh glue]") != 0) {
            lua_error(L);
        }
        lua_call(L, 0, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, "mimicsh.cdata64");
    }
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    const auto kind = static_cast<Cdata64>(lua_tointeger(L, -1));
    lua_pop(L, 1);
    return kind;
}

} // namespace

// -- Raising --

bool is_internal_source(const char* source) {
    return std::strncmp(source, "=[mimicsh", 9) == 0;
}

std::string where_user(lua_State* L) {
    lua_Debug frame;
    for (int level = 0; lua_getstack(L, level, &frame) != 0; level++) {
        lua_getinfo(L, "Sl", &frame);
        if (frame.currentline > 0 && !is_internal_source(frame.source)) {
            return std::string(frame.short_src) + ":" + std::to_string(frame.currentline) + ": ";
        }
    }
    return "";
}

void fail(lua_State* L, const std::string& message) {
    push_string(L, where_user(L) + message);
    lua_error(L);
    std::abort(); // lua_error does not return
}

namespace {

/// Whether the function that the user called is a method by its doc: "obj.close()" in place of "obj:close()".
bool is_in_method(lua_State* L) {
    lua_Debug frame;
    push_docs(L);
    const int docs = lua_gettop(L);
    bool is_method = false;
    bool is_known = false;
    for (int level = 0; !is_known && lua_getstack(L, level, &frame) != 0; level++) {
        lua_getinfo(L, "Slf", &frame);
        if (frame.currentline > 0 && !is_internal_source(frame.source)) {
            break;
        }
        lua_rawget(L, docs);
        is_known = lua_istable(L, -1);
        if (is_known) {
            lua_getfield(L, -1, "name");
            is_method = std::strchr(lua_tostring(L, -1), ':') != nullptr;
        }
        lua_settop(L, docs);
    }
    lua_settop(L, docs - 1);
    return is_method;
}

} // namespace

void bad_argument(lua_State* L, int index, const char* name, const std::string& expected) {
    const std::string got = describe(L, index);
    const std::string help = index == 1 && is_in_method(L) ? " (call methods with ':')" : "";
    fail(L, std::string("bad argument '") + name + "': expected " + expected + ", got " + got + help);
}

// -- Errors as values --

void push_error(lua_State* L, const Error& error) {
    lua_createtable(L, 0, 5);
    const auto set = [L](const char* field, const std::string& text) {
        if (!text.empty()) {
            push_string(L, text);
            lua_setfield(L, -2, field);
        }
    };
    // The C library knows EOPNOTSUPP for the same number; "unsupported" has one name here.
    set("code", error.code == ENOTSUP ? "ENOTSUP" : error.code_name());
    set("op", error.op);
    set("msg", error.text);
    set("hint", error.hint);
    set("log", error.log);
    if (luaL_newmetatable(L, kErrorType)) {
        lua_pushcfunction(L, &guard<&error_tostring>);
        lua_setfield(L, -2, "__tostring");
        lua_pushcfunction(L, &guard<&error_concat>);
        lua_setfield(L, -2, "__concat");
        lua_pushstring(L, "error");
        lua_setfield(L, -2, "__name");
    }
    lua_setmetatable(L, -2);
}

int push_failure(lua_State* L, const Error& error) {
    lua_pushnil(L);
    push_error(L, error);
    return 2;
}

int push_done(lua_State* L, const Status& status) {
    if (!status) {
        return push_failure(L, status.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

bool is_error(lua_State* L, int index) {
    if (!lua_istable(L, index) || lua_getmetatable(L, index) == 0) {
        return false;
    }
    luaL_getmetatable(L, kErrorType);
    const bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
    return same;
}

std::string error_field(lua_State* L, int index, const char* field) {
    lua_pushvalue(L, index);
    lua_pushstring(L, field);
    lua_rawget(L, -2);
    size_t size = 0;
    const char* text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : nullptr;
    std::string result = text != nullptr ? std::string(text, size) : "";
    lua_pop(L, 2);
    return result;
}

bool is_interrupt(lua_State* L, int index) {
    return is_error(L, index) && error_field(L, index, "code") == "EINTR" &&
           error_field(L, index, "op").empty();
}

std::string caret_of(const std::string& log) {
    const auto shown = [&](size_t begin, bool keeps_indent) -> std::string {
        const size_t middle = log.find('\n', begin);
        if (middle == std::string::npos) {
            return "";
        }
        const std::string mark = log.substr(middle + 1, log.find('\n', middle + 1) - middle - 1);
        if (mark.find('^') == std::string::npos || mark.find_first_not_of(" |^~\t") != std::string::npos) {
            return "";
        }
        const size_t blanks = std::min(log.find_first_not_of(" \t", begin), middle) - begin;
        const size_t cut = keeps_indent ? 0 : std::min(blanks, mark.find('^'));
        return "\n    " + log.substr(begin + cut, middle - begin - cut) + "\n    " + mark.substr(cut);
    };
    const size_t error = std::min(log.find(": error: "), log.find(": fatal error: "));
    const size_t behind = log.find('\n', error == std::string::npos ? log.size() : error);
    std::string first = shown(0, true);
    return !first.empty() || behind == std::string::npos ? first : shown(behind + 1, false);
}

// -- Arguments --

std::string_view check_string(lua_State* L, int index, const char* name) {
    if (lua_type(L, index) != LUA_TSTRING) {
        bad_argument(L, index, name, "string");
    }
    size_t size = 0;
    const char* text = lua_tolstring(L, index, &size);
    return {text, size};
}

std::optional<std::string_view> opt_string(lua_State* L, int index, const char* name) {
    if (lua_isnoneornil(L, index)) {
        return std::nullopt;
    }
    return check_string(L, index, name);
}

std::optional<uint64_t> to_u64(lua_State* L, int index) {
    if (cdata64(L, index) != Cdata64::None) {
        return load<uint64_t>(lua_topointer(L, index));
    }
    if (lua_type(L, index) != LUA_TNUMBER) {
        return std::nullopt;
    }
    const double value = lua_tonumber(L, index);
    if (value != std::floor(value) || value < -9223372036854775808.0 || value >= 18446744073709551616.0) {
        return std::nullopt;
    }
    return value < 0 ? static_cast<uint64_t>(static_cast<int64_t>(value)) : static_cast<uint64_t>(value);
}

uint64_t check_unsigned(lua_State* L, int index, const char* name, uint64_t low, uint64_t high) {
    const auto value = to_u64(L, index);
    if (!value) {
        bad_argument(L, index, name, "integer");
    }
    const bool negative = lua_type(L, index) == LUA_TNUMBER
                              ? lua_tonumber(L, index) < 0
                              : cdata64(L, index) == Cdata64::Signed && static_cast<int64_t>(*value) < 0;
    if (negative || *value < low || *value > high) {
        fail(L, std::string("bad argument '") + name + "': " +
                    (negative ? std::to_string(static_cast<int64_t>(*value)) : std::to_string(*value)) +
                    " is outside " + std::to_string(low) + " to " + std::to_string(high));
    }
    return *value;
}

double check_duration(lua_State* L, int index, const char* name) {
    double seconds = -1;
    if (lua_type(L, index) == LUA_TNUMBER) {
        seconds = lua_tonumber(L, index);
    } else if (lua_type(L, index) == LUA_TSTRING) {
        const std::string_view text = check_string(L, index, name);
        double number = 0;
        const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
        const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
        static constexpr std::pair<std::string_view, double> kUnits[] = {
            {"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"m", 60}, {"h", 3600}};
        for (const auto& [word, factor] : kUnits) {
            if (ec == std::errc{} && unit == word) {
                seconds = number * factor;
            }
        }
    } else {
        bad_argument(L, index, name, "duration (seconds, or text like \"250ms\")");
    }
    // 1e9 s is 31 years: enough, and far from the loop's limit in milliseconds.
    if (!(seconds >= 0 && seconds <= 1e9)) {
        fail(L, std::string("bad argument '") + name + "': not a duration (seconds, or text like \"250ms\")");
    }
    return seconds;
}

void check_function(lua_State* L, int index, const char* name) {
    if (!lua_isfunction(L, index)) {
        bad_argument(L, index, name, "function");
    }
}

namespace {

void push_cdata64(lua_State* L, uint64_t value, const char* maker) {
    lua_getfield(L, LUA_REGISTRYINDEX, maker);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        const std::string code = std::string("return require('ffi').typeof('") +
                                 (std::strcmp(maker, "mimicsh.u64") == 0 ? "uint64_t" : "int64_t") + "')";
        if (luaL_loadstring(L, code.c_str()) != 0) {
            lua_error(L);
        }
        lua_call(L, 0, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, maker);
    }
    lua_call(L, 0, 1);
    std::memcpy(const_cast<void*>(lua_topointer(L, -1)), &value, sizeof value);
}

} // namespace

void push_u64(lua_State* L, uint64_t value) {
    push_cdata64(L, value, "mimicsh.u64");
}
void push_i64(lua_State* L, int64_t value) {
    push_cdata64(L, static_cast<uint64_t>(value), "mimicsh.i64");
}
void push_string(lua_State* L, std::string_view text) {
    lua_pushlstring(L, text.data(), text.size());
}

Options::Options(lua_State* L, int index, const char* what) : L_(L), index_(index), what_(what) {
    if (lua_isnoneornil(L, index)) {
        index_ = 0;
    } else if (!lua_istable(L, index)) {
        bad_argument(L, index, what, "table of options");
    }
}

bool Options::fetch(const char* name) {
    push(name);
    if (lua_isnil(L_, -1)) {
        lua_pop(L_, 1);
        return false;
    }
    return true;
}

void Options::push(const char* name) {
    known_.insert(name);
    if (index_ == 0) {
        lua_pushnil(L_);
    } else {
        lua_getfield(L_, index_, name);
    }
}

std::optional<std::string> Options::string(const char* name) {
    if (!fetch(name)) {
        return std::nullopt;
    }
    std::string text(check_string(L_, -1, name));
    lua_pop(L_, 1);
    return text;
}

std::optional<uint64_t> Options::number(const char* name, uint64_t low, uint64_t high) {
    if (!fetch(name)) {
        return std::nullopt;
    }
    const uint64_t value = check_unsigned(L_, lua_gettop(L_), name, low, high);
    lua_pop(L_, 1);
    return value;
}

std::optional<bool> Options::boolean(const char* name) {
    if (!fetch(name)) {
        return std::nullopt;
    }
    if (!lua_isboolean(L_, -1)) {
        bad_argument(L_, -1, name, "boolean");
    }
    const bool value = lua_toboolean(L_, -1) != 0;
    lua_pop(L_, 1);
    return value;
}

void Options::finish() {
    if (index_ == 0) {
        return;
    }
    lua_pushnil(L_);
    while (lua_next(L_, index_) != 0) {
        lua_pop(L_, 1);
        const std::string key =
            lua_type(L_, -1) == LUA_TSTRING ? lua_tostring(L_, -1) : "[" + describe(L_, -1) + "]";
        if (!known_.contains(key)) {
            std::string list;
            for (const auto& name : known_) {
                list += (list.empty() ? "" : ", ") + name;
            }
            fail(L_, std::string(what_) + ": unknown option '" + key + "' (known: " + list + ")");
        }
    }
}

// -- Functions --

void push_docs(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, kDocs);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, kDocs);
    }
}

void set_doc(lua_State* L, const std::string& name, std::string_view text) {
    push_docs(L);
    lua_pushvalue(L, -2);
    lua_createtable(L, 0, 2);
    push_string(L, name);
    lua_setfield(L, -2, "name");
    push_string(L, text);
    lua_setfield(L, -2, "text");
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void set_functions(lua_State* L, const char* prefix, std::span<const Function> functions) {
    for (const auto& function : functions) {
        lua_pushcfunction(L, function.function);
        if (function.doc != nullptr) {
            set_doc(L, std::string(prefix) + function.name, function.doc);
        }
        lua_setfield(L, -2, function.name);
    }
}

void push_metatable(lua_State* L, const char* type, lua_CFunction collect) {
    if (luaL_newmetatable(L, type) == 0) {
        return;
    }
    lua_pushstring(L, type);
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    lua_setfield(L, -2, "__index");
    // Scripts must not get at __gc through getmetatable.
    lua_pushstring(L, type);
    lua_setfield(L, -2, "__metatable");
}

} // namespace mimicsh::lua
