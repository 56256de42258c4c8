// SPDX-License-Identifier: MIT
// Whole-file reading and writing: what is refused, and that a failed write leaves nothing.
#include "base/fd.h"

#include <cerrno>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

namespace mimicsh {
namespace {

class FdTest : public ::testing::Test {
  protected:
    FdTest() {
        char pattern[] = "/tmp/mimicsh-fd-XXXXXX";
        folder_ = ::mkdtemp(pattern);
    }
    ~FdTest() override { std::filesystem::remove_all(folder_); }
    std::string folder_;
};

TEST_F(FdTest, WriteThenReadGivesTheSameBytes) {
    ByteVec bytes(700'000, 0x5a);
    ASSERT_TRUE(write_file(folder_ + "/a", bytes, "save"));
    auto back = read_file(folder_ + "/a", "open");
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, bytes);
}

TEST_F(FdTest, ErrorsNameTheFileAndTheReason) {
    auto missing = read_file(folder_ + "/none", "open object");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ENOENT);
    EXPECT_EQ(missing.error().code_name(), "ENOENT");
    EXPECT_EQ(missing.error().message(), "open object: " + folder_ + "/none: no such file or directory");
    EXPECT_EQ(read_file(folder_, "open").error().code, EISDIR);
}

TEST_F(FdTest, ReadStopsAtTheLimit) {
    ASSERT_TRUE(write_file(folder_ + "/a", ByteVec(600'000), "save"));
    EXPECT_EQ(read_file(folder_ + "/a", "open", 1000).error().code, EFBIG);
}

TEST_F(FdTest, FailedWriteLeavesNothing) {
    std::filesystem::create_directory(folder_ + "/taken");
    EXPECT_FALSE(write_file(folder_ + "/taken", ByteVec(10), "save"));
    EXPECT_FALSE(write_file(folder_ + "/no/such", ByteVec(10), "save"));
    size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) {
        ++entries;
    }
    EXPECT_EQ(entries, 1u);
}

} // namespace
} // namespace mimicsh
