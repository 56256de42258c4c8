// SPDX-License-Identifier: MIT
// Capture files against libpcap and tshark: reading theirs, writing ours.
#include "net/pcap_file.h"

#include <cerrno>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "tests/unit/net/support.h"
#include "tests/unit/net/tshark.h"

namespace mimicsh::net {
namespace {

std::vector<StoredPacket> read_with_libpcap(const std::string& path) {
    char error[PCAP_ERRBUF_SIZE] = {};
    pcap_t* file = pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, error);
    EXPECT_NE(file, nullptr) << error;
    std::vector<StoredPacket> packets;
    pcap_pkthdr* header = nullptr;
    const u_char* data = nullptr;
    while (file != nullptr && pcap_next_ex(file, &header, &data) == 1) {
        auto time = static_cast<uint64_t>(header->ts.tv_sec) * 1'000'000'000 +
                    static_cast<uint64_t>(header->ts.tv_usec);
        packets.push_back({ByteVec(data, data + header->caplen), time, header->len, 0, {}});
    }
    if (file != nullptr) {
        pcap_close(file);
    }
    return packets;
}

std::vector<StoredPacket> without_comments(std::vector<StoredPacket> packets) {
    for (StoredPacket& packet : packets) {
        packet.comment.clear();
    }
    return packets;
}

std::vector<StoredPacket> sample_packets() {
    std::vector<StoredPacket> packets;
    std::mt19937_64 random(test_seed());
    for (uint32_t i = 0; i < 300; i++) {
        ByteVec data(i % 7 == 0 ? random() % 3 : 14 + random() % 9000);
        for (uint8_t& byte : data) {
            byte = static_cast<uint8_t>(random());
        }
        auto size = static_cast<uint32_t>(data.size());
        packets.push_back(
            {std::move(data), uint64_t{1'700'000'000'123'456'000} + i * 1'000, size + i % 3, 0, {}});
    }
    return packets;
}

void append32(std::string& to, uint32_t value, bool is_swapped) {
    value = is_swapped ? byte_swap(value) : value;
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// A classic file of the given magic and byte order with one 4-byte packet.
std::string classic_file(uint32_t magic, bool is_swapped) {
    std::string file;
    append32(file, magic, is_swapped);
    append32(file, is_swapped ? 0x00020004 : 0x00040002, is_swapped);
    for (uint32_t value : {0U, 0U, 65535U, 1U, 10U, 20U, 4U, 9U}) {
        append32(file, value, is_swapped);
    }
    return file + "abcd";
}

TEST(PcapReader, ReadsEveryMagicAsLibpcapDoes) {
    TempDir dir;
    for (uint32_t magic : {0xa1b2c3d4U, 0xa1b23c4dU}) {
        for (bool is_swapped : {false, true}) {
            std::string path = dir.file("a.pcap");
            std::ofstream(path, std::ios::binary) << classic_file(magic, is_swapped);
            auto ours = read_capture(path);
            ASSERT_EQ(ours.size(), 1U);
            EXPECT_EQ(ours[0].time_ns, magic == 0xa1b23c4d ? 10'000'000'020U : 10'000'020'000U);
            EXPECT_EQ(ours[0].orig_len, 9U);
            EXPECT_EQ(ours, read_with_libpcap(path));
        }
    }
}

TEST(PcapReader, ReadsTheCapturesAsLibpcapDoes) {
    for (const std::string& name : capture_names()) {
        auto ours = read_capture(capture_path(name));
        EXPECT_GT(ours.size(), 5U);
        EXPECT_EQ(without_comments(ours), read_with_libpcap(capture_path(name))) << name;
    }
}

TEST(PcapReader, BatchSizeDoesNotChangeWhatIsRead) {
    for (const char* name : {"dns.pcapng", "http.pcap"}) {
        auto whole = read_capture(capture_path(name));
        for (size_t batch : {1U, 2U, 7U}) {
            auto reader = PcapReader::open(capture_path(name));
            ASSERT_TRUE(reader);
            EXPECT_EQ(read_all(**reader, batch).packets, whole) << batch;
        }
    }
}

TEST(PcapReader, ReadsFromAPipeInSmallPieces) {
    std::string path = capture_path("dns.pcapng");
    ByteVec bytes = *read_file(path, "read");
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    std::thread feeder([&] {
        for (size_t i = 0; i < bytes.size(); i += 11) {
            (void)!::write(ends[1], bytes.data() + i, std::min<size_t>(11, bytes.size() - i));
        }
        ::close(ends[1]);
    });
    auto reader = PcapReader::from_fd(Fd(ends[0]), "pipe");
    ReadResult result;
    if (reader) {
        result = read_all(**reader);
    }
    feeder.join();
    ASSERT_TRUE(reader);
    EXPECT_EQ(result.error.message(), "");
    EXPECT_EQ(result.packets, read_capture(path));
    EXPECT_EQ((*reader)->position(), bytes.size());
    EXPECT_EQ((*reader)->file_size(), 0U);
}

TEST(PcapReader, CrossesBlockBorders) {
    TempDir dir;
    std::vector<StoredPacket> packets;
    for (uint32_t i = 0; i < 40; i++) { // 10 MB in packets of up to the limit
        packets.push_back(
            {ByteVec(kMaxCapturedPacket - i * 7, static_cast<uint8_t>(i)), i, kMaxCapturedPacket, 0, {}});
    }
    for (CaptureFormat format : {CaptureFormat::kPcapNanoseconds, CaptureFormat::kPcapng}) {
        ASSERT_NO_FATAL_FAILURE(write_capture(dir.file("big"), packets, format));
        EXPECT_TRUE(read_capture(dir.file("big")) == packets);
    }
}

TEST(PcapWriter, IsReadBackEqualByLibpcapAndByItself) {
    TempDir dir;
    auto packets = sample_packets();
    for (CaptureFormat format :
         {CaptureFormat::kPcapMicroseconds, CaptureFormat::kPcapNanoseconds, CaptureFormat::kPcapng}) {
        std::string path = dir.file("out");
        ASSERT_NO_FATAL_FAILURE(write_capture(path, packets, format));
        EXPECT_TRUE(read_with_libpcap(path) == packets) << static_cast<int>(format);
        EXPECT_TRUE(read_capture(path) == packets) << static_cast<int>(format);
    }
}

TEST(PcapWriter, WritesCommentsAndVerdictsThatTsharkReads) {
    if (!has_program("tshark")) {
        GTEST_SKIP() << "tshark is not installed";
    }
    TempDir dir;
    std::string path = dir.file("out.pcapng");
    auto writer = PcapWriter::create(path, {.format = CaptureFormat::kPcapng, .interface_name = "vm"});
    ASSERT_TRUE(writer);
    ByteVec frame(60, 0);
    ASSERT_TRUE((*writer)->write({frame, 1'700'000'000'000'000'001, 1500, 0, "first"}));
    ASSERT_TRUE((*writer)->write({frame, 1'700'000'000'000'000'002, 0, 0, "odd"}, "DROP"));
    ASSERT_TRUE((*writer)->write({frame, 1'700'000'000'000'000'003, 0, 0, {}}, "PASS"));
    ASSERT_TRUE((*writer)->close());
    ASSERT_TRUE((*writer)->close());
    auto rows =
        tshark_fields(path, {"frame.time_epoch", "frame.len", "frame.comment", "frame.interface_name"});
    ASSERT_EQ(rows.size(), 3U);
    using Cells = std::vector<std::vector<std::string>>;
    EXPECT_EQ(rows[0], (Cells{{"1700000000.000000001"}, {"1500"}, {"first"}, {"vm"}}));
    EXPECT_EQ(rows[1], (Cells{{"1700000000.000000002"}, {"60"}, {"verdict=DROP odd"}, {"vm"}}));
    EXPECT_EQ(rows[2], (Cells{{"1700000000.000000003"}, {"60"}, {"verdict=PASS"}, {"vm"}}));
    auto packets = read_capture(path);
    ASSERT_EQ(packets.size(), 3U);
    EXPECT_EQ(packets[1].comment, "verdict=DROP odd");
}

TEST(PcapWriter, RefusesWhatTheFormatCannotHold) {
    TempDir dir;
    auto writer = PcapWriter::create(dir.file("out.pcap"));
    ASSERT_TRUE(writer);
    ByteVec frame(60, 0);
    EXPECT_EQ((*writer)->write({frame, 0, 0, 0, "comment"}).error().code, ENOTSUP);
    EXPECT_EQ((*writer)->write({ByteVec(kMaxCapturedPacket + 1), 0, 0, 0, {}}).error().code, EMSGSIZE);
    EXPECT_EQ((*writer)->write({frame, UINT64_MAX, 0, 0, {}}).error().code, EOVERFLOW);
    ASSERT_TRUE((*writer)->close());
    EXPECT_EQ((*writer)->write({frame, 0, 0, 0, {}}).error().code, EBADF);
    EXPECT_TRUE(read_capture(dir.file("out.pcap")).empty());
}

TEST(PcapWriter, ReportsAFullDisk) {
    auto writer = PcapWriter::create("/dev/full");
    ASSERT_FALSE(writer);
    EXPECT_EQ(writer.error().code, ENOSPC);
    EXPECT_EQ(writer.error().message(), "write capture: /dev/full: no space left on device");
    EXPECT_EQ(PcapWriter::create("/nowhere/out.pcap").error().code, ENOENT);
}

} // namespace
} // namespace mimicsh::net
