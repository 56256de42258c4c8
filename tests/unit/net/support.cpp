// SPDX-License-Identifier: MIT
// What the packet tests share.
#include "tests/unit/net/support.h"
#include "tests/paths.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

namespace mimicsh::net {

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
    return test::in_tree("tests/data/captures/" + name);
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
