// SPDX-License-Identifier: MIT
// Suggestions for mistyped names.
#include "base/similar.h"

#include <gtest/gtest.h>

namespace mimicsh {
namespace {

TEST(Similar, FindsWhatWasMeant) {
    const std::vector<std::string_view> names{"r0",   "r1",   "exit",  "goto",  "gotol",
                                              "call", "hash", "array", "counts"};
    struct Case {
        const char* mistyped;
        const char* meant; ///< null: nothing is suggested
    };
    const Case cases[] = {
        {"exti", "exit"},     {"got", "goto"},    {"cal", "call"}, {"hahs", "hash"},     {"EXIT", "exit"},
        {"ro", "r0"},         {"R1", "r1"},       {"rl", "r1"},    {"aray", "array"},    {"count", "counts"},
        {"conuts", "counts"}, {"r9", nullptr},    {"x", nullptr},  {"nothing", nullptr}, {"", nullptr},
        {"exit", nullptr},    {"gootl", "gotol"},
    };
    for (const Case& c : cases) {
        const auto found = similar(c.mistyped, names);
        EXPECT_EQ(found ? std::string(*found) : "-", c.meant != nullptr ? c.meant : "-") << c.mistyped;
    }
    EXPECT_EQ(similar(std::string(100000, 'x'), names), std::nullopt);
}

TEST(Similar, SaysNothingWhenSeveralAreMeantEquallyWell) {
    EXPECT_EQ(similar("rate", {"late", "gate"}), std::nullopt);
    EXPECT_EQ(similar("late", {"rate", "rate"}), "rate");
}

TEST(Similar, ListsTheNearestFirst) {
    EXPECT_EQ(similar_names("prot", {"host", "proto", "port", "prot", "udp", "port"}),
              (std::vector<std::string_view>{"proto", "port"}));
    EXPECT_EQ(similar_names("counts", {"cuonst", "count"}),
              (std::vector<std::string_view>{"count", "cuonst"}));
}

TEST(Similar, IsPutAsAQuestion) {
    EXPECT_EQ(did_you_mean("exti", {"exit"}), "did you mean 'exit'?");
    EXPECT_EQ(did_you_mean("prot", {"port", "udp", "proto"}), "did you mean 'port' or 'proto'?");
    EXPECT_EQ(did_you_mean("rate", {"late", "gate", "rave"}), "did you mean 'late', 'gate' or 'rave'?");
    EXPECT_EQ(did_you_mean("rate", {"late", "gate", "rave", "rote"}, "no"), "no");
    EXPECT_EQ(did_you_mean("zzz", {"exit"}, "man zzz"), "man zzz");
}

} // namespace
} // namespace mimicsh
