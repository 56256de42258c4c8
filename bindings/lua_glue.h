// SPDX-License-Identifier: MIT
// The border between C++ and Lua: argument checks, owners, errors as values, guarded functions with their doc
// text.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

extern "C" {
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
}

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh::lua {

// -- Raising: mistakes of the caller --

/// Raises "file:line: message" with the position of the nearest Lua code that is not one of our own embedded
/// halves. Objects on the C++ stack are destroyed (LuaJIT unwinds through C++ frames on x86-64 and arm64).
[[noreturn]] void fail(lua_State* L, const std::string& message);
/// Raises "bad argument 'name': expected <expected>, got <type>".
[[noreturn]] void bad_argument(lua_State* L, int index, const char* name, const std::string& expected);
/// Position "file:line: " of the nearest user code on L's stack, "" when there is none.
[[nodiscard]] std::string where_user(lua_State* L);
/// True for the chunk names of our embedded Lua halves ("=[mimicsh ...]"), as lua_Debug::source.
[[nodiscard]] bool is_internal_source(const char* source);

// -- Errors as values: outcomes of the world --

/// Pushes the error object {code=, op=, msg=, hint=, log=}; its tostring is "op: msg".
void push_error(lua_State* L, const Error& error);
/// Pushes nil and the error object; returns 2, so that `return push_failure(L, e)` ends a function.
int push_failure(lua_State* L, const Error& error);
/// Pushes true, or nil and the error object; returns how many values.
int push_done(lua_State* L, const Status& status);
/// True when the value at index is an error object.
[[nodiscard]] bool is_error(lua_State* L, int index);
/// True when it is the one that ^C or a timeout raises: nothing that our own code may take for an outcome.
[[nodiscard]] bool is_interrupt(lua_State* L, int index);
/// String field of the error object at index; "" when missing.
[[nodiscard]] std::string error_field(lua_State* L, int index, const char* field);
/// The line of source and the caret below it that a log begins with, or that stand behind clang's first
/// error, each indented behind a line break; else empty.
[[nodiscard]] std::string caret_of(const std::string& log);

// -- Arguments --

/// A string argument; the view lives as long as the value stays on the stack.
[[nodiscard]] std::string_view check_string(lua_State* L, int index, const char* name);
[[nodiscard]] std::optional<std::string_view> opt_string(lua_State* L, int index, const char* name);
/// An integer within [low, high], from a number or a 64-bit cdata.
[[nodiscard]] uint64_t check_unsigned(lua_State* L, int index, const char* name, uint64_t low, uint64_t high);
/// Seconds, from a number or a text with a unit ("250ms", "1.5s", "2m", "10us", "1h"); never negative.
[[nodiscard]] double check_duration(lua_State* L, int index, const char* name);
void check_function(lua_State* L, int index, const char* name);
/// 64-bit integer cdata or a number without fraction at index; nothing for anything else.
[[nodiscard]] std::optional<uint64_t> to_u64(lua_State* L, int index);
/// Pushes a uint64_t (or int64_t) cdata.
void push_u64(lua_State* L, uint64_t value);
void push_i64(lua_State* L, int64_t value);
void push_string(lua_State* L, std::string_view text);
inline void push_bytes(lua_State* L, ByteView bytes) {
    push_string(L, as_text(bytes));
}

/// Named options from a table (or none at index). Each getter names a known option; `finish` raises on the
/// others.
class Options {
  public:
    Options(lua_State* L, int index, const char* what);
    [[nodiscard]] std::optional<std::string> string(const char* name);
    [[nodiscard]] std::optional<uint64_t> number(const char* name, uint64_t low, uint64_t high);
    [[nodiscard]] std::optional<bool> boolean(const char* name);
    /// Pushes the option's value (nil when missing) for the caller to read.
    void push(const char* name);
    /// Raises on options that nobody asked for: "run: unknown option 'tims' (known: cpu, times)".
    void finish();

  private:
    bool fetch(const char* name);
    lua_State* L_;
    int index_; ///< 0 = no table given
    const char* what_;
    std::set<std::string> known_;
};

/// One of several words, or the first when the option is not given.
template <typename Value, size_t N>
[[nodiscard]] Value choose(lua_State* L, Options& options, const char* name,
                           const std::pair<const char*, Value> (&choices)[N]) {
    const auto given = options.string(name);
    if (!given) {
        return choices[0].second;
    }
    std::string known;
    for (const auto& [word, value] : choices) {
        if (*given == word) {
            return value;
        }
        known += (known.empty() ? "\"" : "\", \"") + std::string(word);
    }
    fail(L, std::string("bad argument '") + name + "': expected " + known + "\", got \"" + *given + "\"");
}

// -- Functions --

/// One bound function. `doc` is "signature\none line\nexample code" (the example may be several lines or
/// missing).
struct Function {
    const char* name;
    lua_CFunction function;
    const char* doc = nullptr;
};

/// Runs a bound function and turns any C++ exception into a Lua error. Lua errors pass untouched.
template <lua_CFunction F>
int guard(lua_State* L) {
    try {
        return F(L);
    } catch (const std::exception& e) {
        lua_pushstring(L, e.what());
    }
    return lua_error(L);
}

/// Sets the functions in the table on top of the stack; docs are kept under "module.name" ("module:name" for
/// methods).
void set_functions(lua_State* L, const char* prefix, std::span<const Function> functions);
/// Keeps a doc text for the function on top of the stack (which stays there).
void set_doc(lua_State* L, const std::string& name, std::string_view text);
/// Pushes the table function -> {name=, text=}.
void push_docs(lua_State* L);

// -- Owners: full userdata that hold a std::shared_ptr --

/// Lua name of an owned type; specialise it as `template <> inline constexpr const char* kTypeName<Map> =
/// "map";`.
template <typename T>
inline constexpr const char* kTypeName = nullptr;

/// Makes (or fetches) the metatable of a type and leaves it on the stack; methods go into its __index table.
void push_metatable(lua_State* L, const char* type, lua_CFunction collect);

template <typename T>
int collect_owner(lua_State* L) {
    auto* owner = static_cast<std::shared_ptr<T>*>(lua_touserdata(L, 1));
    owner->reset();
    return 0;
}

template <typename T>
void push_metatable(lua_State* L) {
    push_metatable(L, kTypeName<T>, &guard<&collect_owner<T>>);
}

/// Pushes a userdata that shares ownership.
template <typename T>
void push_owner(lua_State* L, std::shared_ptr<T> object) {
    void* memory = lua_newuserdata(L, sizeof(std::shared_ptr<T>));
    new (memory) std::shared_ptr<T>(std::move(object));
    push_metatable<T>(L);
    lua_setmetatable(L, -2);
}

/// The owner at index, or null when it is something else.
template <typename T>
std::shared_ptr<T>* test_owner(lua_State* L, int index) {
    return static_cast<std::shared_ptr<T>*>(luaL_testudata(L, index, kTypeName<T>));
}

/// The object at index; raises when it is something else or has been collected.
template <typename T>
T& check(lua_State* L, int index, const char* name) {
    auto* owner = test_owner<T>(L, index);
    if (owner == nullptr) {
        bad_argument(L, index, name, kTypeName<T>);
    }
    if (*owner == nullptr) {
        fail(L, std::string("bad argument '") + name + "': the " + kTypeName<T> + " is closed");
    }
    return **owner;
}

} // namespace mimicsh::lua
