// SPDX-License-Identifier: MIT
// The dissector and the builder against tshark.
#include <map>

#include <gtest/gtest.h>

#include "net/build.h"
#include "net/dissect.h"
#include "net/field_text.h"
#include "net/show.h"
#include "tests/unit/net/random_packet.h"
#include "tests/unit/net/support.h"
#include "tests/unit/net/tshark_compare.h"

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

// Why tshark may say something else, and how many values at most do among the generated packets; docs/net.md
// has these names too. Packets that are as they were built differ in nothing.
const std::map<std::string, size_t> kReasons = {
    {"stopped header", 8000}, // a header that is cut off or impossible: tshark shows its first fields
    {"behind a port", 400},   // what cannot be DNS or VXLAN is payload here
    {"DNS over TCP", 0},      // payload here
    {"checksum of missing bytes", 700}, // tshark calls it bad, we say nothing
    {"ARP for others", 100},            // addresses of other kinds have other names there
    {"quoted packet", 300},             // a damaged packet that an ICMP error quotes ends earlier there
    {"contents", 300},                  // options and records that make no sense end tshark's dissection
    {"impossible length", 300},         // an IP length below its header ends tshark's dissection
    {"names", 300},                     // bytes of DNS names outside ASCII, and records behind a broken one
};

// The name of the reason; empty where there is none.
std::string reason_of(const Packet& packet, const TsharkRow& row, const FieldDiffers& difference) {
    const bool is_missing = difference.theirs == "nothing";
    const bool is_malformed = !tshark_column(row, "_ws.malformed").empty();
    const std::string_view field = difference.field;
    if (difference.is_surplus && !packet.note().empty()) {
        return "stopped header";
    }
    if (difference.is_surplus && (field.starts_with("dns.") || field.starts_with("vxlan."))) {
        return packet.find(Protocol::kTcp) ? "DNS over TCP" : "behind a port";
    }
    if (field.ends_with(".status") && difference.ours == "unknown") {
        return "checksum of missing bytes";
    }
    if (field.starts_with("arp.") && is_missing) {
        return "ARP for others";
    }
    if (difference.is_quoted) {
        return "quoted packet";
    }
    if (is_missing && is_malformed) {
        return "contents";
    }
    if (field.starts_with("dns.") && (is_malformed || difference.ours.find('\\') != std::string::npos)) {
        return "names";
    }
    for (size_t layer = 0; is_missing && layer < packet.layers().size(); layer++) {
        const Layer& ip = packet.layers()[layer];
        const bool is_ip = ip.protocol == Protocol::kIp;
        if (is_ip && std::get<uint64_t>(*packet.get(layer, "len")) < ip.size) {
            return "impossible length";
        }
    }
    return "";
}

TEST_F(Tshark, AgreesOnEveryFieldOfTheCaptures) {
    size_t compared = 0;
    size_t good = 0;
    size_t explained = 0;
    std::vector<std::string> paths;
    for (const std::string& name : capture_names()) {
        paths.push_back(capture_path(name));
    }
    paths.push_back(std::string(MIMICSH_SOURCE_DIR) + "/tests/data/programs.pcap");
    for (const std::string& path : paths) {
        auto packets = read_capture(path);
        auto rows = tshark_rows(path);
        ASSERT_EQ(packets.size(), rows.size()) << path;
        for (size_t i = 0; i < packets.size(); i++) {
            const Packet packet = dissect(packets[i].data);
            const TsharkComparison result = compare_with_tshark(packet, rows[i]);
            for (const FieldDiffers& difference : result.differences) {
                const std::string reason = reason_of(packet, rows[i], difference);
                if (reason == "DNS over TCP" || reason == "stopped header" || reason == "behind a port") {
                    explained++;
                    continue;
                }
                ADD_FAILURE() << path << " packet " << i + 1 << ": " << difference.field << " is "
                              << difference.ours << ", tshark says " << difference.theirs << "\n"
                              << show(packet);
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
    std::map<std::string, size_t> counts;
    for (size_t i = 0; i < rows.size(); i++) {
        const Packet packet = dissect(stored[i].data);
        const TsharkComparison result = compare_with_tshark(packet, rows[i]);
        compared += result.fields;
        for (const FieldDiffers& difference : result.differences) {
            const std::string reason = is_damaged(i) ? reason_of(packet, rows[i], difference) : "";
            counts[reason]++;
            if (reason.empty() && ++unexplained <= 20) {
                ADD_FAILURE() << "seed " << seed << " packet " << i << (is_damaged(i) ? " (damaged)" : "")
                              << ": " << difference.field << " is " << difference.ours << ", tshark says "
                              << difference.theirs << "\n"
                              << show(packet);
            }
        }
    }
    EXPECT_EQ(unexplained, 0U);
    for (const auto& [reason, most] : kReasons) {
        EXPECT_LE(counts[reason], most) << reason;
        RecordProperty(reason, static_cast<int>(counts[reason]));
    }
    EXPECT_GT(compared, 200000U);
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
        ASSERT_EQ(summary(parsed), summary(built)) << "seed " << seed << " packet " << i;
        ASSERT_EQ(show(again), show(parsed)) << "seed " << seed << " packet " << i;
        ASSERT_TRUE(again == built) << "seed " << seed << " packet " << i << "\n"
                                    << show(built) << show(again);
    }
}

TEST(RandomPackets, EveryFieldIsComparedOrListed) {
    // The version is compared by its being dissected; tshark takes options and routing data apart, except
    // TCP's.
    EXPECT_EQ(fields_without_counterpart(),
              std::vector<std::string>(
                  {"ip.version", "ip.options", "hopopts.options", "routing.data", "dstopts.options"}));
}

} // namespace
} // namespace mimicsh::net
