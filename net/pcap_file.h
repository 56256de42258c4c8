// SPDX-License-Identifier: MIT
// Capture files: reading pcap and pcapng in batches, writing both.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/fd.h"

namespace mimicsh::net {

/// Link types of the pcap registry (tcpdump.org/linktypes.html) that other code asks for by name.
inline constexpr uint32_t kLinkEthernet = 1;
inline constexpr uint32_t kLinkRaw = 101; ///< starts with IPv4 or IPv6

/// Longest packet that is read or written, the limit of libpcap too; longer records are refused as damage.
inline constexpr uint32_t kMaxCapturedPacket = 262144;

/// One packet of a capture file. Views point into the reader and die with its next call.
struct PacketRecord {
    ByteView data;
    uint64_t time_ns = 0;     ///< since 1970; 0 where the file has no time (pcapng simple packet blocks)
    uint32_t orig_len = 0;    ///< length on the wire; data may be shorter (snaplen)
    uint32_t interface = 0;   ///< index into PcapReader::interfaces()
    std::string_view comment; ///< first pcapng comment; empty otherwise
};

/// Where packets were captured. A classic pcap file has exactly one.
struct CaptureInterface {
    std::string name; ///< pcapng if_name; empty when the file does not say
    uint32_t link_type = kLinkEthernet;
    uint32_t snaplen = 0; ///< 0 = not limited
    // Time stamps are units of 10^-resolution (2^-resolution when binary) seconds, plus an offset in seconds.
    uint8_t resolution = 6;
    bool is_binary = false;
    int64_t offset_seconds = 0;
};

struct PcapParser; // internal: the format-specific half

/// Reads pcap (microseconds, nanoseconds, both byte orders) and pcapng (both byte orders, several sections)
/// from files and pipes, in blocks of 256 KiB by read(2). Memory does not grow with the file.
class PcapReader {
  public:
    /// Opens a path, or standard input for "-"; reads enough to know the format and refuses others.
    /// `stop` (may be null, else outlives the reader) ends the wait for a silent pipe with EINTR once it is
    /// set.
    [[nodiscard]] static Expected<std::unique_ptr<PcapReader>> open(const std::string& path,
                                                                    const std::atomic<bool>* stop = nullptr);
    /// The same for a descriptor; `name` is used in errors.
    [[nodiscard]] static Expected<std::unique_ptr<PcapReader>>
    from_fd(Fd fd, std::string name, const std::atomic<bool>* stop = nullptr);
    /// The same for bytes in memory, which must outlive the reader.
    [[nodiscard]] static Expected<std::unique_ptr<PcapReader>> from_bytes(ByteView bytes, std::string name);
    ~PcapReader();
    PcapReader(const PcapReader&) = delete;
    PcapReader& operator=(const PcapReader&) = delete;

    /// Replaces `records` with up to `limit` (at least 1) packets; none at the end of the file. A damaged or
    /// cut-off file first yields the packets before the damage, then the error ("file: offset N: ...") on
    /// every later call.
    [[nodiscard]] Status read(std::vector<PacketRecord>& records, size_t limit = 512);

    [[nodiscard]] bool is_pcapng() const;
    /// Interfaces met so far; more may follow as a pcapng file is read. Sections of one file add up.
    [[nodiscard]] const std::vector<CaptureInterface>& interfaces() const;
    /// Bytes of the file used up so far, for progress.
    [[nodiscard]] uint64_t position() const;
    /// Size of the file, 0 for pipes.
    [[nodiscard]] uint64_t file_size() const;

  private:
    explicit PcapReader(std::unique_ptr<PcapParser> parser);
    std::unique_ptr<PcapParser> parser_;
};

enum class CaptureFormat {
    kPcapMicroseconds,
    kPcapNanoseconds,
    kPcapng, ///< nanoseconds, comments
};

struct WriterOptions {
    CaptureFormat format = CaptureFormat::kPcapNanoseconds;
    uint32_t link_type = kLinkEthernet;
    std::string interface_name = {}; ///< pcapng only
};

/// Writes a capture file through a buffer of 256 KiB. Errors of the disk appear at write or at close.
class PcapWriter {
  public:
    /// Creates or truncates `path` ("-" is standard output) and writes the file header.
    [[nodiscard]] static Expected<std::unique_ptr<PcapWriter>> create(const std::string& path,
                                                                      const WriterOptions& options = {});
    /// Closes without a word; call close() to learn of errors.
    ~PcapWriter();
    PcapWriter(const PcapWriter&) = delete;
    PcapWriter& operator=(const PcapWriter&) = delete;

    /// Appends one packet; its interface is ignored, orig_len 0 means data.size(). A comment in a classic
    /// pcap file is refused (ENOTSUP), packets above kMaxCapturedPacket too (EMSGSIZE). `verdict` becomes
    /// "verdict=NAME" in front of the comment.
    [[nodiscard]] Status write(const PacketRecord& packet, std::string_view verdict = {});
    /// Writes out what is buffered and closes; idempotent. write() afterwards fails with EBADF.
    [[nodiscard]] Status close();

  private:
    PcapWriter(Fd fd, std::string path, const WriterOptions& options);
    void put(const void* bytes, size_t size);
    void put_file_header(const WriterOptions& options);
    [[nodiscard]] Status put_classic(const PacketRecord& packet, uint32_t orig_len);
    [[nodiscard]] Status put_enhanced(const PacketRecord& packet, uint32_t orig_len,
                                      std::string_view verdict);
    [[nodiscard]] Status flush();

    Fd fd_;
    std::string path_;
    CaptureFormat format_;
    ByteVec buffer_;
};

} // namespace mimicsh::net
