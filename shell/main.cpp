// SPDX-License-Identifier: MIT
// mimicsh: options, then run.
#include "shell/options.h"
#include "shell/run.h"

int main(int argc, char** argv) {
    mimicsh::shell::CommandLine line;
    if (const auto code = mimicsh::shell::parse_command_line(argc, argv, line)) {
        return *code;
    }
    return mimicsh::shell::run(line);
}
