// SPDX-License-Identifier: MIT
// The support table: its tests exist, its page is what is in docs/, its XDP helpers are what the table says.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "vm/support.h"

namespace mimicsh::test {

namespace {

/// "Suite.Name" of every test of this binary and of the one that runs against the kernel.
std::set<std::string> all_tests() {
    std::set<std::string> names;
    const testing::UnitTest& unit = *testing::UnitTest::GetInstance();
    for (int i = 0; i < unit.total_test_suite_count(); ++i) {
        const testing::TestSuite& suite = *unit.GetTestSuite(i);
        for (int k = 0; k < suite.total_test_count(); ++k) {
            names.insert(std::string(suite.name()) + "." + suite.GetTestInfo(k)->name());
        }
    }
    FILE* pipe = popen(MIMICSH_BINARY_DIR "/tests/kernel/kernel_parity --gtest_list_tests", "r");
    std::string suite;
    char line[256];
    while (pipe != nullptr && std::fgets(line, sizeof line, pipe) != nullptr) {
        std::string text = line;
        while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
            text.pop_back();
        }
        if (text.starts_with("  ")) {
            names.insert(suite + text.substr(2));
        } else {
            suite = text;
        }
    }
    EXPECT_TRUE(pipe != nullptr && pclose(pipe) == 0) << "kernel_parity is not built";
    return names;
}

TEST(Support, EveryRowNamesATestThatExists) {
    const std::set<std::string> tests = all_tests();
    for (const vm::HelperRow& helper : vm::helper_rows()) {
        EXPECT_TRUE(tests.contains(std::string(helper.test)))
            << abi::helper_name(helper.id) << ": " << helper.test;
    }
    for (const vm::MapRow& map : vm::map_rows()) {
        EXPECT_TRUE(tests.contains(std::string(map.test))) << abi::name(map.type) << ": " << map.test;
    }
}

TEST(Support, PageInDocsIsTheTables) {
    const auto page = read_file(MIMICSH_SOURCE_DIR "/docs/support.md", "read");
    ASSERT_TRUE(page) << page.error().message();
    EXPECT_TRUE(as_text(*page) == vm::support_page()) << "write it anew: mimicsh --support > docs/support.md";
}

TEST(Support, EmulatedHelpersCanBeCalledBySomeProgram) {
    using abi::ProgType;
    // Counted on Linux 6.18.
    const std::vector<std::pair<ProgType, size_t>> counts{
        {ProgType::Xdp, 104},          {ProgType::SchedCls, 139},    {ProgType::SchedAct, 139},
        {ProgType::FlowDissector, 83}, {ProgType::SocketFilter, 88}, {ProgType::CgroupSkb, 103},
        {ProgType::LwtIn, 90},         {ProgType::LwtOut, 89},       {ProgType::LwtXmit, 104},
        {ProgType::Kprobe, 0}};
    std::set<uint32_t> callable;
    for (const auto& [type, count] : counts) {
        size_t allowed = 0;
        for (uint32_t id = 0; id < abi::kHelperCount; ++id) {
            if (vm::helper_allowed(type, id)) {
                callable.insert(id);
                ++allowed;
            }
        }
        EXPECT_EQ(allowed, count) << abi::name(type);
    }
    for (const vm::HelperRow& helper : vm::helper_rows()) {
        EXPECT_TRUE(callable.contains(helper.id)) << abi::helper_name(helper.id);
    }
}

} // namespace

} // namespace mimicsh::test
