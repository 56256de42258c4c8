// SPDX-License-Identifier: MIT
// Capture files that are cut off, damaged or no capture files at all.
#include <cerrno>

#include <gtest/gtest.h>

#include "tests/unit/net/support.h"

namespace mimicsh::net {
namespace {

struct NotACapture {
    const char* hex;
    int code;
    const char* message;
};

TEST(PcapReader, RefusesOtherFilesByWhatTheyAre) {
    const NotACapture cases[] = {
        {"", EINVAL, "open capture: x: the file is empty"},
        {"7f454c46", EINVAL, "open capture: x: neither pcap nor pcapng (starts with 7f454c46)"},
        {"61", EINVAL, "open capture: x: neither pcap nor pcapng (starts with 61)"},
        {"1f8b0800", ENOTSUP, "open capture: x: compressed with gzip"},
        {"34cdb2a1", ENOTSUP,
         "open capture: x: the modified pcap format of old Linux patches is not supported"},
        {"d4c3b2a1 0200", EINVAL, "open capture: x: file ends after 6 of 24 bytes of the header"},
        {"d4c3b2a1 03000400 0000000000000000 ffff0000 01000000", ENOTSUP,
         "open capture: x: pcap version 3 is not supported"},
    };
    for (const NotACapture& c : cases) {
        ByteVec bytes = *from_hex(c.hex);
        auto reader = PcapReader::from_bytes(bytes, "x");
        ASSERT_FALSE(reader) << c.hex;
        EXPECT_EQ(reader.error().message(), c.message);
        EXPECT_EQ(reader.error().code, c.code);
    }
    EXPECT_EQ(PcapReader::open("/nowhere/x.pcap").error().message(),
              "open capture: /nowhere/x.pcap: no such file or directory");
    EXPECT_EQ(PcapReader::open("/").error().code, EISDIR);
}

TEST(PcapReader, NamesTheOffsetOfAnAbsurdLength) {
    ByteVec bytes = *from_hex("d4c3b2a1 02000400 0000000000000000 ffff0000 01000000"
                              "00000000 00000000 01000000 01000000 aa"
                              "00000000 00000000 01000400 01000000 bb");
    auto reader = PcapReader::from_bytes(bytes, "x");
    ASSERT_TRUE(reader);
    ReadResult result = read_all(**reader);
    EXPECT_EQ(result.packets.size(), 1U);
    EXPECT_EQ(result.error.message(),
              "read capture: x: offset 41: captured length 262145 is above the limit of 262144");
    std::vector<PacketRecord> records;
    EXPECT_FALSE((*reader)->read(records)) << "the error stays";
}

// Cuts a capture at every byte: all packets before the cut, then an error unless the cut is between records.
void cut_everywhere(const std::string& name, size_t header_size) {
    ByteVec bytes = *read_file(capture_path(name), "read");
    auto whole = read_capture(capture_path(name));
    size_t silent = 0;
    size_t most_packets = 0;
    for (size_t size = header_size; size < bytes.size(); size++) {
        auto reader = PcapReader::from_bytes(ByteView(bytes).first(size), name);
        ASSERT_TRUE(reader) << size << ": " << reader.error().message();
        ReadResult result = read_all(**reader);
        ASSERT_LE(result.packets.size(), whole.size());
        EXPECT_TRUE(std::equal(result.packets.begin(), result.packets.end(), whole.begin()));
        EXPECT_GE(result.packets.size(), most_packets);
        most_packets = result.packets.size();
        silent += result.error.text.empty() ? 1 : 0;
        if (!result.error.text.empty()) {
            EXPECT_NE(result.error.text.find("file ends after"), std::string::npos) << result.error.text;
        }
    }
    // Borders between records: one per packet, in pcapng some more for the other blocks.
    EXPECT_GE(silent, whole.size());
    EXPECT_LE(silent, whole.size() + 4);
}

TEST(PcapReader, ReportsWhereAFileIsCutOff) {
    cut_everywhere("ping.pcap", 24);
    cut_everywhere("dns.pcapng", 24);
}

TEST(PcapReader, SurvivesDamage) {
    uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    for (const char* name : {"ping.pcap", "dns.pcapng"}) {
        ByteVec whole = *read_file(capture_path(name), "read");
        for (int round = 0; round < 3000; round++) {
            ByteVec bytes = whole;
            for (uint64_t flips = random() % 4 + 1; flips > 0; flips--) {
                bytes[random() % bytes.size()] = static_cast<uint8_t>(random() % 2 == 0 ? random() : 0xff);
            }
            auto reader = PcapReader::from_bytes(bytes, name);
            if (!reader) {
                continue;
            }
            for (const StoredPacket& packet : read_all(**reader).packets) {
                ASSERT_LE(packet.data.size(), whole.size());
            }
        }
    }
}

} // namespace
} // namespace mimicsh::net
