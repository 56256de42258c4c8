// SPDX-License-Identifier: MIT
// The command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mimicsh::shell {

enum class ColorMode : uint8_t { Auto, Always, Never };

struct CommandLine {
    std::vector<std::string> code;      ///< -e, in order
    std::vector<std::string> modules;   ///< -l, in order
    std::string script;                 ///< empty = none; "-" = standard input
    std::vector<std::string> arguments; ///< the script's
    bool interactive = false;
    bool quiet = false;
    bool json = false;
    bool verbose = false;
    bool jit = true;
    ColorMode color = ColorMode::Auto;
    uint64_t seed = 1;
    std::optional<double> timeout; ///< seconds
};

/// Parses; when the program has to end at once (--help, --version, a mistake) returns the exit code instead
/// and has printed what there is to say.
[[nodiscard]] std::optional<int> parse_command_line(int argc, char** argv, CommandLine& line);

} // namespace mimicsh::shell
