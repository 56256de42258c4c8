// SPDX-License-Identifier: MIT
// From a key to its frame on a terminal of 200 columns, in a statement of 100 lines: editing, colours,
// drawing, and writing what differs (to /dev/null).
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <vector>

#include "shell/editor.h"
#include "shell/lua_text.h"
#include "shell/terminal.h"
#include "tests/bench/measure.h"

using namespace mimicsh::bench;
using namespace mimicsh::shell;

int main() {
    constexpr int kColumns = 200;
    constexpr int kRows = 120;
    constexpr int kKeys = 1'001;
    std::string text;
    for (int i = 0; i < 100; ++i) {
        text += "    local value_" + std::to_string(i) + " = print(\"some text\", 0x10 + " +
                std::to_string(i) + ", { key = unknown, [1] = true }) -- and a comment\n";
    }
    History history;
    Editor editor(history);
    Terminal terminal;
    editor.replace(0, 0, text);
    for (int i = 0; i < 50; ++i) {
        editor.handle({Key::Kind::Up});
    }
    const int out = dup(STDOUT_FILENO);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDOUT_FILENO);
    std::vector<double> milliseconds;
    for (int i = 0; i < kKeys; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        editor.handle({Key::Kind::Text, 0, i % 8 == 7 ? " " : "x"});
        View view;
        view.prompt = "mimicsh> ";
        view.more_prompt = "     ..> ";
        view.text = editor.text();
        view.cursor = editor.cursor();
        view.spans =
            lua_colours(view.text, view.cursor, [](std::string_view name) { return name == "print"; });
        terminal.paint(draw(view, kColumns, kRows));
        const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
        milliseconds.push_back(took.count());
    }
    dup2(out, STDOUT_FILENO);
    close(out);
    close(null);
    const Spread s = spread(milliseconds);
    std::printf("key to frame   %.3f ms (%.3f to %.3f, %d keys; bar 2)\n", s.median, s.low, s.high, kKeys);
    return 0;
}
