// SPDX-License-Identifier: MIT
// How long `mimicsh -e ''` takes as a whole process, beside `luajit -e ''` and `true` in the same run.
#include <cstdio>

#include "tests/bench/measure.h"
#include "tests/paths.h"

using namespace mimicsh::bench;

int main() {
    constexpr int kRuns = 101;
    const std::vector<std::vector<std::string>> commands{
        {mimicsh::test::in_build("mimicsh"), "-e", ""}, {"luajit", "-e", ""}, {"true"}};
    std::vector<std::vector<double>> milliseconds(commands.size());
    for (int run = 0; run < kRuns; ++run) {
        for (size_t i = 0; i < commands.size(); ++i) {
            const Usage usage = run_command(commands[i]);
            if (usage.ok) {
                milliseconds[i].push_back(usage.wall * 1e3);
            } else if (i == 0) {
                std::fprintf(stderr, "%s does not run\n", commands[i][0].c_str());
                return 1;
            }
        }
    }
    std::printf("%-14s %10s %10s %10s  ms, %d runs\n", "command", "min", "median", "max", kRuns);
    for (size_t i = 0; i < commands.size(); ++i) {
        if (milliseconds[i].empty()) {
            continue; // a reference that is not installed
        }
        const Spread s = spread(milliseconds[i]);
        const char* name = i == 0 ? "mimicsh -e ''" : i == 1 ? "luajit -e ''" : "true";
        std::printf("%-14s %10.2f %10.2f %10.2f%s\n", name, s.low, s.median, s.high,
                    i == 0 ? "  (bar 10)" : "");
    }
    return 0;
}
