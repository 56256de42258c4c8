// SPDX-License-Identifier: MIT
// What the packet tests share: captures in memory, temporary folders, seeded random numbers.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "net/pcap_file.h"

namespace mimicsh::net {

/// A packet with its bytes owned.
struct StoredPacket {
    ByteVec data;
    uint64_t time_ns = 0;
    uint32_t orig_len = 0;
    uint32_t interface = 0;
    std::string comment;
    friend bool operator==(const StoredPacket&, const StoredPacket&) = default;
};

/// All packets of a reader in batches of `batch`, and the error that ended it (empty text: the end).
struct ReadResult {
    std::vector<StoredPacket> packets;
    Error error;
};
[[nodiscard]] ReadResult read_all(PcapReader& reader, size_t batch = 512);
/// Packets of a file that must be sound.
[[nodiscard]] std::vector<StoredPacket> read_capture(const std::string& path);

/// Names of the captures in tests/data/captures.
[[nodiscard]] std::vector<std::string> capture_names();
[[nodiscard]] std::string capture_path(const std::string& name);

/// A folder that vanishes with the object.
class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_;
};

[[nodiscard]] bool has_program(const std::string& name);
/// Standard output of a shell command; `status` gets its exit code.
[[nodiscard]] std::string run_command(const std::string& command, int& status);

/// Seed of random tests: MIMICSH_TEST_SEED or a fixed one; printed with failures by the tests.
[[nodiscard]] uint64_t test_seed();

/// Writes packets to a capture file that must succeed.
void write_capture(const std::string& path, const std::vector<StoredPacket>& packets, CaptureFormat format);

} // namespace mimicsh::net
