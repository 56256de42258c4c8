// SPDX-License-Identifier: MIT
// From a key to its frame on a terminal of 200 columns, in a statement of 100 lines: editing, colours with
// the globals of Lua, the hint of the parameters that are left, drawing, and writing what differs (to
// /dev/null). In the middle of the statement, and at its end, where hints are asked for. Then in a line of 60
// KB, which still has colours and hints, and in one of 1 MB, which has none: at its end and in front.
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include "bindings/state.h"
#include "shell/editor.h"
#include "shell/lua_text.h"
#include "shell/prompt.h"
#include "shell/terminal.h"
#include "tests/bench/measure.h"

using namespace mimicsh::bench;
using namespace mimicsh::shell;

namespace {

constexpr int kColumns = 200;
constexpr int kRows = 120;
constexpr int kKeys = 1'001;

/// As the prompt asks.
std::string hint(lua_State* L, std::string_view text, size_t cursor) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mimicsh.live");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "hint");
    lua_pushlstring(L, text.data(), text.size());
    lua_pushinteger(L, static_cast<lua_Integer>(cursor));
    lua_call(L, 2, 1);
    const std::string answer = lua_tostring(L, -1);
    lua_pop(L, 2);
    return answer;
}

bool is_global(lua_State* L, std::string_view name) {
    lua_pushlstring(L, name.data(), name.size());
    lua_rawget(L, LUA_GLOBALSINDEX);
    const bool is_known = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return is_known;
}

struct Typed {
    std::vector<double> milliseconds;
    int hints = 0; ///< frames that had one
};

Typed type_keys(lua_State* L, Editor& editor, const std::vector<std::string>& keys) {
    Terminal terminal;
    Typed typed;
    for (int i = 0; i < kKeys; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        editor.handle({Key::Kind::Text, 0, keys[static_cast<size_t>(i) % keys.size()]});
        View view;
        view.prompt = "mimicsh> ";
        view.more_prompt = "     ..> ";
        view.text = editor.text();
        view.cursor = editor.cursor();
        if (view.text.size() <= Prompt::kMaxColoured) {
            view.spans = lua_colours(view.text, view.cursor,
                                     [L](std::string_view name) { return is_global(L, name); });
        }
        if (view.cursor == view.text.size() && view.text.size() <= Prompt::kMaxHinted) {
            view.hint = hint(L, view.text, view.cursor);
            typed.hints += view.hint.empty() ? 0 : 1;
        }
        terminal.paint(draw(view, kColumns, kRows));
        const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
        typed.milliseconds.push_back(took.count());
    }
    return typed;
}

} // namespace

int main() {
    Prompt::keep_freed_memory();
    mimicsh::lua::State state({});
    lua_State* L = state.lua();
    std::string text;
    for (int i = 0; i < 100; ++i) {
        text += "    local value_" + std::to_string(i) + " = print(\"some text\", 0x10 + " +
                std::to_string(i) + ", { key = unknown, [1] = true }) -- and a comment\n";
    }
    const int out = dup(STDOUT_FILENO);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDOUT_FILENO);
    History history;
    Editor middle(history);
    middle.replace(0, 0, text);
    for (int i = 0; i < 50; ++i) {
        middle.handle({Key::Kind::Up});
    }
    const Typed in_middle = type_keys(L, middle, {"x", "x", "x", "x", "x", "x", "x", " "});
    Editor end(history);
    end.replace(0, 0, text + "timer.after(");
    const Typed at_end = type_keys(L, end, {"1", "2", "3", " ", "+", " "});
    Editor coloured(history);
    std::string line = "x = { ";
    while (line.size() < 60'000) {
        line += std::to_string(line.size()) + ", print(\"some text\"), ";
    }
    coloured.replace(0, 0, line);
    const Typed in_60k = type_keys(L, coloured, {"1", "2", "3", " ", "+", " "});
    while (line.size() < 1'000'000) {
        line += std::to_string(line.size()) + ", print(\"some text\"), ";
    }
    Editor behind(history);
    behind.replace(0, 0, line);
    const Typed behind_1m = type_keys(L, behind, {"1", "2", "3", " ", "+", " "});
    Editor front(history);
    front.replace(0, 0, line);
    front.handle({Key::Kind::Home});
    const Typed before_1m = type_keys(L, front, {"1", "2", "3", " ", "+", " "});
    dup2(out, STDOUT_FILENO);
    close(out);
    close(null);
    for (const auto& [name, typed] :
         {std::pair{"in the middle", &in_middle}, std::pair{"at the end", &at_end},
          std::pair{"60 KB line, end", &in_60k}, std::pair{"1 MB line, end", &behind_1m},
          std::pair{"1 MB line, front", &before_1m}}) {
        const Spread s = spread(typed->milliseconds);
        std::printf("key to frame %-16s %.3f ms (%.3f to %.3f, %d keys, %d with a hint; bar 2)\n", name,
                    s.median, s.low, s.high, kKeys, typed->hints);
    }
    return 0;
}
