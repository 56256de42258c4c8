// SPDX-License-Identifier: MIT
// A bounded run of the differential fuzzer with fixed seeds.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/difffuzz/fuzzer.h"

namespace mimicsh::difffuzz {

namespace {

struct Range {
    const char* name;
    uint32_t length;
    uint64_t programs;
};

class DiffFuzz : public testing::TestWithParam<Range> {};

/// Runs the first programs of a range, as many as fit into some seconds.
TEST_P(DiffFuzz, VmAndKernelAgree) {
    constexpr std::chrono::seconds kPatience{7};
    const int cpu = pin(-1);
    ASSERT_GE(cpu, 0);
    auto kernel = KernelSide::open();
    if (!kernel) {
        GTEST_SKIP() << "needs bpf(2): " << kernel.error().message();
    }
    Shape shape;
    shape.length = GetParam().length;
    Fuzzer fuzzer(shape, std::move(*kernel), static_cast<uint32_t>(cpu));
    const auto begin = std::chrono::steady_clock::now();
    std::string text;
    for (uint64_t seed = 1; seed <= GetParam().programs; ++seed) {
        ASSERT_NE(fuzzer.run(seed, text), Fuzzer::Verdict::Different)
            << "seed " << seed << ", length " << shape.length << ": " << text << "\n"
            << fuzzer.explain(seed, true);
        if (std::chrono::steady_clock::now() - begin > kPatience) {
            break;
        }
    }
    const Statistics& statistics = fuzzer.statistics();
    EXPECT_GE(statistics.programs(), 50u) << "too slow to say anything";
    EXPECT_LE(statistics.refusals() * 50, statistics.programs()) << statistics.text();
}

INSTANTIATE_TEST_SUITE_P(Seeds, DiffFuzz,
                         testing::Values(Range{"Short", 60, 12000}, Range{"Medium", 150, 5000},
                                         Range{"Long", 800, 800}),
                         [](const auto& instance) { return instance.param.name; });

} // namespace

} // namespace mimicsh::difffuzz
