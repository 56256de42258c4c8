// SPDX-License-Identifier: MIT
// tests/data/programs.pcap holds what program_packets() builds, for tests that are not written in C++.
#include "tests/kernel/program_packets.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "net/pcap_file.h"
#include "tests/paths.h"

namespace mimicsh::test {

namespace {

const std::string kPath = in_tree("tests/data/programs.pcap");

void write(const std::vector<ByteVec>& packets) {
    const auto writer = net::PcapWriter::create(kPath);
    ASSERT_TRUE(writer) << writer.error().message();
    for (const ByteVec& packet : packets) {
        net::PacketRecord record;
        record.data = packet;
        ASSERT_TRUE((*writer)->write(record));
    }
    ASSERT_TRUE((*writer)->close());
}

TEST(ProgramPackets, AreThoseOfTheCapture) {
    const std::vector<ByteVec> built = program_packets();
    if (std::getenv("MIMICSH_WRITE_PROGRAMS_PCAP") != nullptr) {
        write(built);
    }
    const auto reader = net::PcapReader::open(kPath);
    ASSERT_TRUE(reader) << reader.error().message();
    std::vector<ByteVec> read;
    std::vector<net::PacketRecord> records;
    for (;;) {
        ASSERT_TRUE((*reader)->read(records));
        if (records.empty()) {
            break;
        }
        for (const net::PacketRecord& record : records) {
            read.emplace_back(record.data.begin(), record.data.end());
        }
    }
    EXPECT_EQ(read, built) << "MIMICSH_WRITE_PROGRAMS_PCAP=1 in the environment writes the file anew";
}

} // namespace

} // namespace mimicsh::test
