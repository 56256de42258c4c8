// SPDX-License-Identifier: MIT
// The checked interpreter against the same C functions compiled natively: ratios of CPU time, side by side in
// one run.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "object/clang.h"
#include "tests/paths.h"
#include "vm/maps/map.h"
#include "vm/target.h"

using namespace mimicsh;

struct bench_md {
    void* data;
    void* data_end;
};

extern "C" {
void* bench_array;
void* bench_hash;
int bench_trivial(bench_md*);
int bench_parse(bench_md*);
int bench_array_map(bench_md*);
int bench_hash_map(bench_md*);
int bench_checksum_64(bench_md*);
int bench_checksum_1500(bench_md*);
int bench_rewrite(bench_md*);
int bench_lpm(bench_md*);
int bench_compute(bench_md*);

/// The native rows look up in the vm's own map, through the same function the helper calls.
void* bench_lookup(void* map, const void* key) {
    auto* vm_map = static_cast<vm::VmMap*>(map);
    const uint32_t element = vm_map->find(static_cast<const uint8_t*>(key), 0, nullptr);
    return element == vm::kNoElement ? nullptr : vm_map->value(element);
}
}

namespace {

constexpr int kSamples = 21;

struct Row {
    const char* name;
    int (*native)(bench_md*);
    size_t packet;
    uint32_t runs;
};

constexpr std::array<Row, 9> kRows{{
    {"bench_trivial", bench_trivial, 64, 400'000},
    {"bench_parse", bench_parse, 64, 200'000},
    {"bench_array_map", bench_array_map, 64, 200'000},
    {"bench_hash_map", bench_hash_map, 64, 150'000},
    {"bench_checksum_64", bench_checksum_64, 64, 60'000},
    {"bench_checksum_1500", bench_checksum_1500, 1514, 4'000},
    {"bench_rewrite", bench_rewrite, 64, 150'000},
    {"bench_lpm", bench_lpm, 64, 80'000},
    {"bench_compute", bench_compute, 64, 4'000},
}};

double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

ByteVec make_packet(size_t size) {
    ByteVec packet(size);
    for (size_t i = 0; i < size; ++i) {
        packet[i] = static_cast<uint8_t>(i * 7);
    }
    const std::array<uint8_t, 30> head{0x02, 0, 0,  0, 0, 1, 0x02, 0,  0,  0, 0, 2,  8, 0, 0x45,
                                       0,    0, 50, 0, 0, 0, 0,    64, 17, 0, 0, 10, 1, 2, 3};
    std::copy(head.begin(), head.end(), packet.begin());
    return packet;
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

int fail(const Error& error) {
    std::fprintf(stderr, "%s\n%s\n", error.message().c_str(), error.log.c_str());
    return 1;
}

} // namespace

int main() {
    CompileOptions options;
    options.file = test::in_tree("tests/bench/programs.bpf.c");
    auto object = compile(options);
    if (!object) {
        return fail(object.error());
    }
    auto target = vm::make_target({});
    auto instance = target->load(std::make_shared<const Object>(std::move(*object)), {});
    if (!instance) {
        return fail(instance.error());
    }
    bench_array = dynamic_cast<vm::VmMap*>((*instance)->find_map("bench_array"));
    bench_hash = dynamic_cast<vm::VmMap*>((*instance)->find_map("bench_hash"));
    const ByteVec small = make_packet(64);
    std::array<uint8_t, 16> flow{};
    std::memcpy(flow.data(), small.data() + 26, 12);
    store<uint32_t>(flow.data() + 12, 17);
    const std::array<uint8_t, 16> zero{};
    if (auto ok = (*instance)->find_map("bench_hash")->update(flow, zero, 0); !ok) {
        return fail(ok.error());
    }

    std::printf("%-22s %12s %12s %8s %15s\n", "program", "native ns", "vm ns", "ratio", "ratio min-max");
    double product = 1;
    double worst = 0;
    for (const Row& row : kRows) {
        Program* program = (*instance)->find_program(row.name);
        ByteVec packet = make_packet(row.packet);
        std::vector<double> native_ns;
        std::vector<double> vm_ns;
        std::vector<double> ratios;
        volatile int sink = 0;
        for (int sample = 0; sample < kSamples; ++sample) {
            // The pointer is read anew each time, so that the call is a call and not inlined or hoisted.
            int (*volatile native)(bench_md*) = row.native;
            double begin = cpu_seconds();
            for (uint32_t i = 0; i < row.runs; ++i) {
                bench_md md{packet.data(), packet.data() + packet.size()};
                sink = sink + native(&md);
            }
            native_ns.push_back((cpu_seconds() - begin) * 1e9 / row.runs);
            RunOptions run;
            run.repeat = row.runs;
            begin = cpu_seconds();
            auto result = program->run(packet, run);
            vm_ns.push_back((cpu_seconds() - begin) * 1e9 / row.runs);
            if (!result || result->fault || !result->warnings.empty()) {
                std::fprintf(stderr, "%s: %s\n", row.name,
                             !result         ? result.error().message().c_str()
                             : result->fault ? result->fault->report.c_str()
                                             : result->warnings[0].cause.c_str());
                return 1;
            }
            ratios.push_back(vm_ns.back() / native_ns.back());
        }
        const double ratio = median(ratios);
        const auto [low, high] = std::ranges::minmax(ratios);
        std::printf("%-22s %12.2f %12.2f %8.2f %7.2f-%-7.2f\n", row.name, median(native_ns), median(vm_ns),
                    ratio, low, high);
        product *= ratio;
        worst = std::max(worst, ratio);
    }
    std::printf("geomean %.2f (bar 12), worst %.2f (bar 20), %d samples a row\n",
                std::pow(product, 1.0 / kRows.size()), worst, kSamples);
    return 0;
}
