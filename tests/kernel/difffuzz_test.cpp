// SPDX-License-Identifier: MIT
// A bounded run of the differential fuzzer with fixed seeds.
#include <gtest/gtest.h>

#include <algorithm>
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

/// Runs the first programs of a range, as many as fit into some seconds, but not too few to say anything.
TEST_P(DiffFuzz, VmAndKernelAgree) {
    constexpr std::chrono::seconds kPatience{7};
    constexpr uint64_t kLeast = 100;
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
        if (seed >= kLeast && std::chrono::steady_clock::now() - begin > kPatience) {
            break;
        }
    }
    const Statistics& statistics = fuzzer.statistics();
    EXPECT_GE(statistics.programs(), kLeast / 2);
    EXPECT_LE(statistics.refusals() * 50, statistics.programs()) << statistics.text();
}

/// A vm whose bpf_csum_diff answers something else: the difference is found, made small and named.
TEST(DiffFuzzFault, IsShrunkAndNamed) {
    constexpr uint32_t kCsumDiff = 28;
    const int cpu = pin(-1);
    ASSERT_GE(cpu, 0);
    auto kernel = KernelSide::open();
    if (!kernel) {
        GTEST_SKIP() << "needs bpf(2): " << kernel.error().message();
    }
    vm::UserHelpers wrong;
    wrong[kCsumDiff] = [](vm::HelperCall&) -> Expected<uint64_t> { return 0x1234567; };
    Fuzzer fuzzer(Shape{}, std::move(*kernel), static_cast<uint32_t>(cpu), wrong);
    std::string text;
    uint64_t seed = 1;
    while (seed < 2000 && fuzzer.run(seed, text) != Fuzzer::Verdict::Different) {
        ++seed;
    }
    ASSERT_LT(seed, 2000u) << "no program calls the helper";
    EXPECT_NE(text.find("packet "), std::string::npos) << text;
    const std::string story = fuzzer.explain(seed, true);
    EXPECT_EQ(story.rfind("shrunk: packet 1: ", 0), 0u) << story;
    const size_t named = story.find("first instruction that differs: ");
    ASSERT_NE(named, std::string::npos) << story;
    const std::string line = story.substr(named, story.find('\n', named) - named);
    EXPECT_NE(line.find("call bpf_csum_diff"), std::string::npos) << line << "\n" << story;
    EXPECT_NE(story.find("trace of the vm:"), std::string::npos);
    EXPECT_LT(std::count(story.begin(), story.begin() + static_cast<ptrdiff_t>(named), '\n'), 40) << story;
}

INSTANTIATE_TEST_SUITE_P(Seeds, DiffFuzz,
                         testing::Values(Range{"Short", 60, 12000}, Range{"Medium", 150, 5000},
                                         Range{"Long", 800, 800}),
                         [](const auto& instance) { return instance.param.name; });

} // namespace

} // namespace mimicsh::difffuzz
