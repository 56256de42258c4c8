// SPDX-License-Identifier: MIT
// Replay of drop_dns over 1 GiB of 64-byte packets against tcpdump filtering the same file, as whole
// processes in turn; and the peak memory of a replay over a file of an eighth of the size. Then a program of
// bpf.filter against the same predicate in C.
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/bench/measure.h"
#include "tests/paths.h"

using namespace mimicsh::bench;

namespace {

constexpr int kPairs = 21;
constexpr const char* kBlock = "inst.maps.blocked[53] = 0";

/// A script that replays the capture through a program of what `object` makes.
std::string write_script(const std::string& path, const std::string& object, const std::string& program,
                         const std::string& capture, const std::string& setup = "") {
    std::ofstream(path) << "local bpf = require 'bpf'\nlocal obj = assert(" << object
                        << ")\nlocal inst = assert(obj:load('vm'))\n"
                        << setup << "\nprint(inst.progs." << program << ":replay('" << capture << "'))\n";
    return path;
}

std::string compiled(const std::string& file) {
    return "bpf.compile{file='" + mimicsh::test::in_tree(file) + "'}";
}

int fail(const char* what) {
    std::fprintf(stderr, "%s does not run\n", what);
    return 1;
}

} // namespace

int main() {
    const TempFolder folder;
    const std::string mimicsh = mimicsh::test::in_build("mimicsh");
    const std::string generator = mimicsh::test::in_build("tests/bench/gen_pcap");
    const std::string small = folder.file("small.pcap");
    const std::string large = folder.file("large.pcap");
    int result = 0;
    if (!run_command({generator, small, "--size", "128M", "--packet", "64", "--dns", "10%"}).ok ||
        !run_command({generator, large, "--size", "1G", "--packet", "64", "--dns", "10%"}).ok) {
        result = fail("gen_pcap");
    }
    long small_peak = 0;
    if (result == 0) {
        const std::string first =
            write_script(folder.file("small.lua"), compiled("examples/drop_dns/drop_dns.bpf.c"), "drop_dns",
                         small, kBlock);
        (void)run_command({mimicsh, first}); // compiles the filter, which costs memory, into the cache
        const Usage usage = run_command({mimicsh, first});
        small_peak = usage.peak_kib;
        result = usage.ok ? 0 : fail("mimicsh");
    }
    std::vector<double> ours;
    std::vector<double> theirs;
    std::vector<double> ratios;
    long peak = 0;
    const std::string script = write_script(
        folder.file("large.lua"), compiled("examples/drop_dns/drop_dns.bpf.c"), "drop_dns", large, kBlock);
    for (int pair = 0; pair < kPairs && result == 0; ++pair) {
        const Usage a = run_command({mimicsh, script});
        const Usage b = run_command({"tcpdump", "-r", large, "udp port 53", "-w", "/dev/null"});
        result = !a.ok ? fail("mimicsh") : !b.ok ? fail("tcpdump") : 0;
        ours.push_back(a.cpu);
        theirs.push_back(b.cpu);
        ratios.push_back(a.cpu / b.cpu);
        peak = std::max(peak, a.peak_kib);
    }
    const std::string filter = write_script(
        folder.file("filter.lua"), "bpf.filter('udp port 53', {hit='DROP', miss='PASS'})", "filter", large);
    const std::string by_hand = write_script(folder.file("by_hand.lua"),
                                             compiled("tests/bench/udp_port_53.bpf.c"), "udp_port_53", large);
    std::vector<double> filters;
    std::vector<double> to_c;
    for (int pair = 0; pair < kPairs && result == 0; ++pair) {
        const Usage a = run_command({mimicsh, filter});
        const Usage b = run_command({mimicsh, by_hand});
        result = a.ok && b.ok ? 0 : fail("mimicsh");
        filters.push_back(a.cpu);
        to_c.push_back(a.cpu / b.cpu);
    }
    if (result != 0) {
        return result;
    }
    std::printf("%-10s %8s %8s %8s  seconds of processor time, %d pairs\n", "command", "min", "median", "max",
                kPairs);
    const auto row = [](const char* name, const Spread& s) {
        std::printf("%-10s %8.2f %8.2f %8.2f\n", name, s.low, s.median, s.high);
    };
    row("replay", spread(ours));
    row("tcpdump", spread(theirs));
    row("ratio", spread(ratios));
    row("filter", spread(filters));
    row("to C", spread(to_c));
    std::printf("peak memory: %ld KiB over 128 MiB, %ld KiB over 1 GiB\n", small_peak, peak);
    return 0;
}
