// SPDX-License-Identifier: MIT
// The dissector and the builder against tshark.
#include <map>

#include <gtest/gtest.h>

#include "net/build.h"
#include "net/dissect.h"
#include "net/field_text.h"
#include "net/show.h"
#include "tests/paths.h"
#include "tests/unit/net/random_packet.h"
#include "tests/unit/net/support.h"
#include "tests/unit/net/tshark_compare.h"
#include "tests/unit/net/tshark_reasons.h"

namespace mimicsh::net {
namespace {

class Tshark : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!has_program("tshark")) {
            GTEST_SKIP() << "tshark is not installed";
        }
    }
};

TEST_F(Tshark, AgreesOnEveryFieldOfTheCaptures) {
    size_t compared = 0;
    size_t good = 0;
    size_t explained = 0;
    std::vector<std::string> paths;
    for (const std::string& name : capture_names()) {
        paths.push_back(capture_path(name));
    }
    paths.push_back(test::in_tree("tests/data/programs.pcap"));
    for (const std::string& path : paths) {
        auto packets = read_capture(path);
        auto rows = tshark_rows(path);
        ASSERT_EQ(packets.size(), rows.size()) << path;
        for (size_t i = 0; i < packets.size(); i++) {
            const auto parts = frame_parts(packets[i].data);
            const TsharkComparison result = compare_with_tshark(parts, rows[i]);
            for (const FieldDiffers& difference : result.differences) {
                if (!reason_of(packets[i].data, parts, rows[i], difference).empty()) {
                    explained++;
                    continue;
                }
                ADD_FAILURE() << path << " packet " << i + 1 << ", " << difference << "\n"
                              << show(parts[0].packet);
            }
            compared += result.fields;
            good += result.good_checksums;
        }
    }
    // Guards against a comparison that compares nothing.
    EXPECT_GT(compared, 5000U);
    EXPECT_GT(good, 200U);
    EXPECT_LE(explained, 150U);
    RecordProperty("explained", static_cast<int>(explained));
    RecordProperty("fields", static_cast<int>(compared));
}

constexpr size_t kGenerated = 10000;
constexpr size_t kMostShown = 20;

TEST_F(Tshark, AgreesOnEveryFieldOfGeneratedPackets) {
    const uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    std::vector<StoredPacket> stored;
    const auto is_damaged = [](size_t i) { return i % 4 == 3; };
    while (stored.size() < kGenerated) {
        const size_t i = stored.size();
        const Packet packet = random_packet(random);
        stored.push_back({is_damaged(i) ? damaged(random, packet) : packet.bytes(), i, 0, 0, {}});
    }
    TempDir dir;
    ASSERT_NO_FATAL_FAILURE(write_capture(dir.file("a.pcap"), stored, CaptureFormat::kPcapNanoseconds));
    const auto rows = tshark_rows(dir.file("a.pcap"));
    ASSERT_EQ(rows.size(), stored.size());
    size_t compared = 0;
    size_t unexplained = 0;
    std::map<std::string_view, size_t> counts;
    for (size_t i = 0; i < rows.size(); i++) {
        const auto parts = frame_parts(stored[i].data);
        const TsharkComparison result = compare_with_tshark(parts, rows[i]);
        compared += result.fields;
        for (const FieldDiffers& difference : result.differences) {
            const std::string_view reason =
                is_damaged(i) ? reason_of(stored[i].data, parts, rows[i], difference) : "";
            counts[reason]++;
            if (reason.empty() && ++unexplained <= kMostShown) {
                ADD_FAILURE() << "seed " << seed << " packet " << i << (is_damaged(i) ? " (damaged)" : "")
                              << ", " << difference << "\n"
                              << show(parts[0].packet);
            }
        }
    }
    EXPECT_EQ(unexplained, 0U);
    size_t explained = 0;
    for (const auto& [reason, count] : counts) {
        RecordProperty(std::string(reason), static_cast<int>(count));
        explained += count;
    }
    EXPECT_LT(explained * 40, compared); // 1.5 % by the default seed
    EXPECT_GT(compared, 400000U);
    RecordProperty("fields", static_cast<int>(compared));
}

// Identity: the same headers with the same fields and the same bytes, whether parsed or fixed in between.
TEST(RandomPackets, ParsingAndFixingChangeNothing) {
    const uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    for (size_t i = 0; i < kGenerated; i++) {
        const Packet built = random_packet(random);
        const Packet parsed = dissect(built.bytes());
        const Packet again = dissect(parsed.wire().bytes());
        const bool is_fragment = parsed.note().find("a later fragment") != std::string::npos;
        ASSERT_TRUE(parsed.note().empty() || is_fragment)
            << "seed " << seed << " packet " << i << " " << parsed.note();
        ASSERT_EQ(summary(parsed), summary(built)) << "seed " << seed << " packet " << i;
        ASSERT_EQ(show(again), show(parsed)) << "seed " << seed << " packet " << i;
        ASSERT_TRUE(again == built) << "seed " << seed << " packet " << i << "\n"
                                    << show(built) << show(again);
    }
}

TEST(RandomPackets, EveryFieldIsCompared) {
    EXPECT_EQ(fields_without_counterpart(), std::vector<std::string>());
}

} // namespace
} // namespace mimicsh::net
