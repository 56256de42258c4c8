// SPDX-License-Identifier: MIT
// What the packet tests share.
#include "tests/unit/net/support.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

namespace mimicsh::net {

namespace {

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    size_t from = 0;
    while (from <= text.size()) {
        size_t to = std::min(text.find(separator, from), text.size());
        parts.push_back(text.substr(from, to - from));
        from = to + 1;
    }
    return parts;
}

} // namespace

ReadResult read_all(PcapReader& reader, size_t batch) {
    ReadResult result;
    std::vector<PacketRecord> records;
    while (true) {
        if (Status status = reader.read(records, batch); !status) {
            result.error = status.error();
            return result;
        }
        if (records.empty()) {
            return result;
        }
        for (const PacketRecord& record : records) {
            result.packets.push_back({ByteVec(record.data.begin(), record.data.end()), record.time_ns,
                                      record.orig_len, record.interface, std::string(record.comment)});
        }
    }
}

std::vector<StoredPacket> read_capture(const std::string& path) {
    auto reader = PcapReader::open(path);
    if (!reader) {
        ADD_FAILURE() << reader.error().message();
        return {};
    }
    ReadResult result = read_all(**reader);
    EXPECT_EQ(result.error.message(), "") << path;
    return result.packets;
}

std::vector<std::string> capture_names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(capture_path(""))) {
        if (entry.path().extension() != ".md") {
            names.push_back(entry.path().filename().string());
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string capture_path(const std::string& name) {
    return std::string(MIMICSH_SOURCE_DIR) + "/tests/data/captures/" + name;
}

TempDir::TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "mimicsh-net-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
}

TempDir::~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

bool has_program(const std::string& name) {
    int status = 0;
    (void)run_command("command -v " + name, status);
    return status == 0;
}

std::string run_command(const std::string& command, int& status) {
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string output;
    char block[4096];
    size_t got = 0;
    while ((got = std::fread(block, 1, sizeof block, pipe)) > 0) {
        output.append(block, got);
    }
    status = ::pclose(pipe);
    return output;
}

namespace {

// A folder of settings in which tshark dissects the table's protocols and nothing else, so that neither a
// random port nor random bytes make it see others.
std::string settings_with_our_protocols() {
    static const TempDir folder;
    static const bool is_written = [] {
        constexpr std::string_view kOurs[] = {"frame", "eth",   "ethertype", "vlan", "ieee8021ad",
                                              "arp",   "ip",    "icmp",      "udp",  "tcp",
                                              "gre",   "vxlan", "dns",       "data"};
        int status = 0;
        std::ofstream file(folder.file("disabled_protos"));
        for (const std::string& line : split(run_command("tshark -G protocols 2>/dev/null", status), '\n')) {
            const std::string name = line.substr(line.rfind('\t') + 1);
            const bool is_ours = std::ranges::find(kOurs, name) != std::end(kOurs) ||
                                 name.starts_with("icmpv6") || name.starts_with("ipv6") ||
                                 name.starts_with("_ws");
            if (!is_ours) {
                file << name << '\n';
            }
        }
        return status == 0;
    }();
    EXPECT_TRUE(is_written);
    return folder.file("");
}

} // namespace

std::vector<std::vector<std::vector<std::string>>> tshark_fields(const std::string& path,
                                                                 const std::vector<std::string>& fields) {
    std::string command =
        "WIRESHARK_CONFIG_DIR='" + settings_with_our_protocols() + "' tshark -n -r '" + path +
        "' -o ip.defragment:FALSE -o ipv6.defragment:FALSE -o tcp.desegment_tcp_streams:FALSE"
        " -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE -o "
        "tcp.analyze_sequence_numbers:FALSE"
        " -T fields -E separator=/t -E 'aggregator=;'";
    for (const std::string& field : fields) {
        command += " -e " + field;
    }
    int status = 0;
    std::string output = run_command(command + " 2>/dev/null", status);
    EXPECT_EQ(status, 0) << command;
    std::vector<std::vector<std::vector<std::string>>> rows;
    for (const std::string& line : split(output, '\n')) {
        if (line.empty()) {
            continue;
        }
        std::vector<std::vector<std::string>> row;
        for (const std::string& cell : split(line, '\t')) {
            row.push_back(cell.empty() ? std::vector<std::string>() : split(cell, ';'));
        }
        EXPECT_EQ(row.size(), fields.size());
        row.resize(fields.size());
        rows.push_back(std::move(row));
    }
    return rows;
}

uint64_t test_seed() {
    const char* text = std::getenv("MIMICSH_TEST_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 20240229;
}

void write_capture(const std::string& path, const std::vector<StoredPacket>& packets, CaptureFormat format) {
    auto writer = PcapWriter::create(path, {.format = format});
    ASSERT_TRUE(writer) << writer.error().message();
    for (const StoredPacket& packet : packets) {
        Status status = (*writer)->write({packet.data, packet.time_ns, packet.orig_len, 0, packet.comment});
        ASSERT_TRUE(status) << status.error().message();
    }
    Status status = (*writer)->close();
    ASSERT_TRUE(status) << status.error().message();
}

} // namespace mimicsh::net
