// SPDX-License-Identifier: MIT
// What is kept from one session to the next.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "shell/history.h"

namespace mimicsh::shell {
namespace {

class HistoryFile : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(std::filesystem::create_directory(folder_)); }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string folder() const { return (folder_ / "mimicsh").string(); }
    [[nodiscard]] std::string path() const { return folder() + "/history"; }

    static mode_t mode(const std::string& path) {
        struct stat status {};
        return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
    }

  private:
    std::filesystem::path folder_ =
        std::filesystem::temp_directory_path() / ("mimicsh-history-" + std::to_string(getpid()));
};

TEST_F(HistoryFile, OnlyItsOwnerReadsIt) {
    const mode_t before = umask(0);
    History(path()).add("x = 1");
    umask(before);
    EXPECT_EQ(mode(path()), mode_t{0600});
    EXPECT_EQ(mode(folder()), mode_t{0700});
}

TEST_F(HistoryFile, EntriesComeBackAsTheyWere) {
    const std::vector<std::string> entries{"x = 1",           "for i = 1, 2 do\n    print(i)\nend",
                                           "'a\\nb'",         "a\\",
                                           "back\\\\slashes", "\xff\x01 bytes",
                                           "[[\n\n]]"};
    History first(path());
    for (const std::string& entry : entries) {
        first.add(entry);
    }
    const History second(path());
    ASSERT_EQ(second.size(), entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
        EXPECT_EQ(second.at(i), entries[i]);
    }
}

TEST_F(HistoryFile, SomeStatementsAreNotKept) {
    History history(path());
    for (const char* text : {" secret", "", " \n\t", "x", "x", "y", "x"}) {
        history.add(text);
    }
    ASSERT_EQ(history.size(), 3U);
    EXPECT_EQ(History(path()).size(), 3U);
    EXPECT_EQ(history.at(2), "x");
}

TEST_F(HistoryFile, SessionsAtTheSameTimeKeepBoth) {
    History one(path());
    History other(path());
    one.add("one");
    other.add("other");
    const History both(path());
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(both.at(0), "one");
    EXPECT_EQ(both.at(1), "other");
}

TEST_F(HistoryFile, LongFilesAreTrimmed) {
    std::filesystem::create_directories(folder());
    {
        std::ofstream file(path());
        for (int i = 1; i <= 20'000; ++i) {
            file << "x = " << i << "\n";
        }
    }
    EXPECT_EQ(History(path()).size(), 20'000U);
    std::ofstream(path(), std::ios::app) << "x = 20001\n";
    const History trimmed(path());
    ASSERT_EQ(trimmed.size(), 10'000U);
    EXPECT_EQ(trimmed.at(0), "x = 10002");
    EXPECT_EQ(trimmed.at(9'999), "x = 20001");
    EXPECT_EQ(History(path()).size(), 10'000U) << "on disk too";
    EXPECT_EQ(mode(path()), mode_t{0600});
}

TEST(History, WithoutAPathNothingIsWritten) {
    History history;
    history.add("x");
    EXPECT_EQ(history.size(), 1U);
}

TEST(History, PlaceFollowsTheEnvironment) {
    setenv("XDG_STATE_HOME", "/state", 1);
    EXPECT_EQ(History::usual_path(), "/state/mimicsh/history");
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", "/home/somebody", 1);
    EXPECT_EQ(History::usual_path(), "/home/somebody/.local/state/mimicsh/history");
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    EXPECT_EQ(History::usual_path(), "");
}

} // namespace
} // namespace mimicsh::shell
