// SPDX-License-Identifier: MIT
// The command line.
#include "shell/options.h"

#include <cstdio>
#include <map>

#include <CLI/CLI.hpp>

#include "bindings/state.h"
#include "kernel/journal.h"
#include "vm/support.h"

namespace mimicsh::shell {

namespace {

constexpr const char* kAbout =
    "A scriptable shell for packet processing with eBPF.\nUsage: mimicsh [options] [script.lua [args...]]";
constexpr double kMaxTimeout = 1e9;
constexpr const char* kFooter =
    "Everything after the script's name is the script's. Exit codes: 0 done, 1 error, 2 usage,\n"
    "3 test failures, 77 all tests skipped, 128+n ended by signal n.";

/// A line for each thing that a killed process had left.
int clean_up() {
    const auto report = kernel::clean_up();
    if (!report) {
        std::fprintf(stderr, "mimicsh: %s\n", report.error().message().c_str());
        return 1;
    }
    for (const std::string& line : *report) {
        std::printf("%s\n", line.c_str());
    }
    if (report->empty()) {
        std::puts("nothing to clean up");
    }
    return 0;
}

} // namespace

std::optional<int> parse_command_line(int argc, char** argv, CommandLine& line) {
    CLI::App app(kAbout, "mimicsh");
    app.footer(kFooter);
    app.prefix_command(); // options end at the first word that is none

    std::string jit = "on";
    std::string dump;
    const std::map<std::string, ColorMode> colors{
        {"auto", ColorMode::Auto}, {"always", ColorMode::Always}, {"never", ColorMode::Never}};
    app.add_option("-e", line.code, "Run this code; its values are printed")->allow_extra_args(false);
    app.add_option("-l", line.modules, "Require a module into a global")->allow_extra_args(false);
    app.add_flag("-i", line.interactive, "Prompt after the script");
    app.add_flag("-q", line.quiet, "No banner, no progress");
    app.add_flag("-v", line.verbose, "Tracebacks with errors");
    app.add_flag("--json", line.json, "Print values as JSON");
    app.add_option("--color", line.color, "auto, always or never")
        ->transform(CLI::CheckedTransformer(colors));
    app.add_option("--seed", line.seed, "Seed of everything random (1)");
    app.add_option("--timeout", line.timeout, "End the program after that many seconds")
        ->check([](const std::string& text) {
            double seconds = 0;
            return CLI::detail::lexical_cast(text, seconds) && seconds > 0 && seconds <= kMaxTimeout
                       ? std::string()
                       : "expected seconds, more than 0 and up to 1e9, got " + text;
        });
    app.add_option("-j", jit, "on or off: LuaJIT's compiler")->check(CLI::IsMember({"on", "off"}));
    app.add_option("--dump-lua", dump, "Write the Lua halves of the modules to this folder and end");
    bool support = false;
    app.add_flag("--support", support, "Print what the emulator supports (docs/support.md) and end");
    bool cleanup = false;
    app.add_flag("--cleanup", cleanup, "Undo what killed mimicsh processes left attached, and end");
    app.set_version_flag("--version", std::string("mimicsh ") + MIMICSH_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);
    } catch (const CLI::ParseError& e) {
        std::fprintf(stderr, "mimicsh: %s\nhint: mimicsh --help lists the options\n", e.what());
        return 2;
    }
    if (support) {
        std::fputs(vm::support_page().c_str(), stdout);
        return 0;
    }
    if (cleanup) {
        return clean_up();
    }
    if (!dump.empty()) {
        if (const auto done = lua::dump_lua(dump); !done) {
            std::fprintf(stderr, "mimicsh: %s\n", done.error().message().c_str());
            return 1;
        }
        return 0;
    }
    line.jit = jit == "on";
    auto rest = app.remaining();
    if (!rest.empty()) {
        if (rest.front().size() > 1 && rest.front().front() == '-') {
            std::fprintf(stderr, "mimicsh: unknown option %s\nhint: mimicsh --help lists the options\n",
                         rest.front().c_str());
            return 2;
        }
        line.script = rest.front();
        line.arguments.assign(rest.begin() + 1, rest.end());
    }
    return std::nullopt;
}

} // namespace mimicsh::shell
