// SPDX-License-Identifier: MIT
// mimicsh: options, then run; or, when the first word is "plugin", one program on memory.
#include <string_view>

#include "shell/options.h"
#include "shell/plugin.h"
#include "shell/run.h"

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "plugin") {
        return mimicsh::shell::run_plugin({argv + 2, argv + argc});
    }
    mimicsh::shell::CommandLine line;
    if (const auto code = mimicsh::shell::parse_command_line(argc, argv, line)) {
        return *code;
    }
    return mimicsh::shell::run(line);
}
