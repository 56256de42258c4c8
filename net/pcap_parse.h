// SPDX-License-Identifier: MIT
// Internal to net/: the block buffer under the capture readers and the two formats on top of it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "net/pcap_file.h"

namespace mimicsh::net {

/// A window of bytes over a descriptor (or over memory), refilled by read(2).
class BlockInput {
  public:
    /// Bytes one window always has room for: any record or block that is not refused.
    static constexpr size_t kWindow = size_t{1} << 20;
    /// Bytes asked of one read(2): what is read stays in the second-level cache until it is parsed (10 %
    /// faster than 1 MiB on a Xeon of 2019, pcap_bench).
    static constexpr size_t kStep = size_t{1} << 18;

    /// `stop` (may be null) ends a wait for bytes of a pipe with EINTR once it is set.
    BlockInput(Fd fd, std::string name, const std::atomic<bool>* stop = nullptr);
    BlockInput(ByteView bytes, std::string name);

    /// What is buffered and not consumed.
    [[nodiscard]] ByteView window() const { return {data_ + begin_, end_ - begin_}; }
    void consume(size_t size) { begin_ += size; }
    /// Offset of the window in the file.
    [[nodiscard]] uint64_t position() const { return base_ + begin_; }
    /// Moves the rest to the front (earlier views die) and reads more. False at the end of the file.
    [[nodiscard]] Expected<bool> fill();
    /// Fills until the window holds `size` bytes (at most kWindow). False when the file ends before.
    [[nodiscard]] Expected<bool> need(size_t size);
    [[nodiscard]] uint64_t file_size() const { return file_size_; }
    [[nodiscard]] const std::string& name() const { return name_; }

  private:
    /// Returns when a pipe has bytes or has ended; EINTR when told to stop.
    [[nodiscard]] Status wait() const;

    Fd fd_;
    std::string name_;
    const std::atomic<bool>* stop_ = nullptr; ///< null also for regular files, which never keep one waiting
    ByteVec buffer_;
    const uint8_t* data_ = nullptr;
    size_t begin_ = 0;
    size_t end_ = 0;
    uint64_t base_ = 0; ///< file offset of data_[0]
    uint64_t file_size_ = 0;
    bool is_memory_ = false;
};

/// One capture format over a BlockInput.
struct PcapParser {
    explicit PcapParser(BlockInput source) : input(std::move(source)) {}
    virtual ~PcapParser() = default;
    [[nodiscard]] virtual Status read(std::vector<PacketRecord>& records, size_t limit) = 0;
    [[nodiscard]] virtual bool is_pcapng() const = 0;

    /// "name: offset N: reason"
    [[nodiscard]] Error damage(uint64_t offset, const std::string& reason) const;

    BlockInput input;
    std::vector<CaptureInterface> interfaces;
};

/// Reads the first bytes and chooses the format.
[[nodiscard]] Expected<std::unique_ptr<PcapParser>> make_pcap_parser(BlockInput input);
/// The classic format; the window starts with its 24-byte header.
[[nodiscard]] std::unique_ptr<PcapParser> make_classic_parser(BlockInput input, bool is_swapped,
                                                              bool is_nano);
/// pcapng; the window starts with a section header block.
[[nodiscard]] std::unique_ptr<PcapParser> make_pcapng_parser(BlockInput input);

/// Loads an integer of the file's byte order.
template <bool kSwapped>
[[nodiscard]] inline uint32_t load_order(const uint8_t* from) {
    uint32_t value = load<uint32_t>(from);
    return kSwapped ? byte_swap(value) : value;
}

} // namespace mimicsh::net
