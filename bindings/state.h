// SPDX-License-Identifier: MIT
// A Lua state with the loop, our require, and the built-in modules ready to be required.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "bindings/loop.h"

namespace mimicsh::lua {

/// Lua source that is part of the binary.
struct EmbeddedLua {
    std::string_view name; ///< "bpf", without ".lua"
    std::string_view text;
};
[[nodiscard]] std::span<const EmbeddedLua> embedded_lua();

/// What the options of the command line mean for the modules; Lua sees it as require "mimicsh.config".
struct Config {
    bool color = false;    ///< colours on stdout
    bool json = false;     ///< values printed as JSON
    bool progress = false; ///< progress lines on stderr
    bool verbose = false;
    uint64_t seed = 1;
};

class State {
  public:
    explicit State(const Config& config);
    ~State();
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    [[nodiscard]] lua_State* lua() { return L_; }
    [[nodiscard]] Loop& loop() { return *loop_; }

  private:
    lua_State* L_;
    std::unique_ptr<Loop> loop_;
};

/// Opens a built-in module's C part: leaves its table on the stack.
using OpenModule = void (*)(lua_State* L);

/// A module of the binary. `open` may be null (Lua only), `has_lua` says whether a Lua half continues.
struct Module {
    const char* name;
    OpenModule open;
    bool has_lua;
    const char* line; ///< what it is for, for help()
};
[[nodiscard]] std::span<const Module> modules();

/// Bytes that a line of a hexdump has on standard output: as many as fit its terminal.
[[nodiscard]] size_t bytes_per_line(lua_State* L);

/// Writes the embedded Lua halves as files, for people who want to change them (MIMICSH_LUA=dir runs them).
[[nodiscard]] Status dump_lua(const std::string& folder);

} // namespace mimicsh::lua
