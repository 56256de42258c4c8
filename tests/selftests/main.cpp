// SPDX-License-Identifier: MIT
// The kernel's own networking selftests, compiled by scripts/selftests, on both targets. Usage:
// kernel_selftests FOLDER [gtest options]; each object of the folder is a case.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>

#include "kernel/features.h"
#include "object/object.h"
#include "tests/kernel/parity.h"
#include "tests/selftests/compare_object.h"

namespace mimicsh::test {

namespace {

/// Objects that both targets run, but not with the same numbers, and why that is right.
const std::map<std::string, std::string>& differs_by_nature() {
    static const std::map<std::string, std::string> kReasons{
        {"test_global_func16", "decides by stack that nothing has written"},
        {"test_time_tai", "stores the time"},
    };
    return kReasons;
}

/// Objects that libbpf refuses as we do, and with what words we do.
const std::map<std::string, std::string>& refused_files() {
    static const std::map<std::string, std::string> kReasons{
        {"test_sk_assign", "map definitions without BTF are not supported"},
    };
    return kReasons;
}

/// Outcomes by object, in the order of the run.
std::map<std::string, Comparison>& outcomes() {
    static std::map<std::string, Comparison> all;
    return all;
}

class Selftest : public testing::Test {
  public:
    explicit Selftest(std::filesystem::path path) : path_(std::move(path)) {}

    void SetUp() override {
        const auto usable = kernel::usable();
        if (!usable) {
            GTEST_SKIP() << "the kernel target cannot be used here: " << usable.error().message();
        }
    }

    void TestBody() override {
        const std::string object_name = path_.stem().string();
        auto object = open_object(path_.string());
        if (const auto refused = refused_files().find(object_name); refused != refused_files().end()) {
            ASSERT_FALSE(object);
            EXPECT_NE(object.error().message().find(refused->second), std::string::npos);
            return;
        }
        ASSERT_TRUE(object) << object.error().message();
        const OnFirstCpu cpu;
        Comparison result = compare_object(std::make_shared<const Object>(std::move(*object)));
        const bool listed = differs_by_nature().contains(object_name);
        EXPECT_EQ(result.outcome == Outcome::Differs, listed) << result.text;
        outcomes()[object_name] = std::move(result);
    }

  private:
    std::filesystem::path path_;
};

/// Runs last.
class Summary : public testing::Test {
  public:
    void TestBody() override {
        std::map<Outcome, size_t> count;
        for (const auto& [object, result] : outcomes()) {
            ++count[result.outcome];
            std::cout << name(result.outcome) << "  " << object << ":";
            for (const std::string& program : result.programs) {
                std::cout << " " << program;
            }
            std::cout << "\n";
            for (const std::string& refused : result.refused) {
                std::cout << "      the kernel refuses " << refused << "\n";
            }
            if (result.outcome != Outcome::Agrees && result.outcome != Outcome::Differs) {
                std::cout << (result.text.empty() ? "" : "      " + result.text.substr(0, 200) + "\n");
            }
        }
        for (const auto& [outcome, number] : count) {
            std::cout << number << " " << name(outcome) << "\n";
        }
        constexpr size_t kAtLeast = 80;
        EXPECT_GE(count[Outcome::Agrees], kAtLeast);
    }
};

int run(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (argc != 2) {
        std::cerr << "usage: kernel_selftests FOLDER\n";
        return 2;
    }
    std::vector<std::filesystem::path> objects;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        if (entry.path().extension() == ".o") {
            objects.push_back(entry.path());
        }
    }
    std::sort(objects.begin(), objects.end());
    // Test runs look at the network namespace of the thread: in a new one, little needs to be scripted.
    if (unshare(CLONE_NEWNET) != 0) {
        std::cerr << "a network namespace of its own: " << std::strerror(errno) << "\n";
    }
    for (const auto& path : objects) {
        testing::RegisterTest("Selftest", path.stem().c_str(), nullptr, nullptr, __FILE__, __LINE__,
                              [path]() -> testing::Test* { return new Selftest(path); });
    }
    if (testing::GTEST_FLAG(filter) == "*") {
        testing::RegisterTest("SelftestSummary", "EightyObjectsAgree", nullptr, nullptr, __FILE__, __LINE__,
                              []() -> testing::Test* { return new Summary; });
    }
    return RUN_ALL_TESTS();
}

} // namespace

} // namespace mimicsh::test

int main(int argc, char** argv) {
    return mimicsh::test::run(argc, argv);
}
