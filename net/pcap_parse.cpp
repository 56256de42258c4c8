// SPDX-License-Identifier: MIT
// The block buffer, the choice of the format, and the classic pcap format.
#include "net/pcap_parse.h"

#include <algorithm>
#include <cerrno>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mimicsh::net {

namespace {

constexpr const char* kOp = "read capture";
constexpr int kStopPollMs = 50; // how often a wait looks at its stop flag

} // namespace

/* -- Block buffer --------------------------------------------------------- */

BlockInput::BlockInput(Fd fd, std::string name, const std::atomic<bool>* stop)
    : fd_(std::move(fd)), name_(std::move(name)), stop_(stop) {
    buffer_.resize(kWindow + kStep); // a rest below one window, and one step
    data_ = buffer_.data();
    struct stat st {};
    if (::fstat(fd_.get(), &st) == 0 && S_ISREG(st.st_mode)) {
        file_size_ = static_cast<uint64_t>(st.st_size);
        stop_ = nullptr;
    }
}

BlockInput::BlockInput(ByteView bytes, std::string name)
    : name_(std::move(name)), data_(bytes.data()), end_(bytes.size()), file_size_(bytes.size()),
      is_memory_(true) {}

Status BlockInput::wait() const {
    pollfd ready{fd_.get(), POLLIN, 0};
    while (true) {
        if (*stop_) {
            return Error{EINTR, kOp, name_ + ": interrupted", {}, {}};
        }
        const int count = ::poll(&ready, 1, kStopPollMs);
        if (count > 0) {
            return {};
        }
        if (count < 0 && errno != EINTR) {
            return errno_error(errno, kOp, name_);
        }
    }
}

Expected<bool> BlockInput::fill() {
    if (is_memory_) {
        return false;
    }
    size_t rest = end_ - begin_;
    if (begin_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, rest);
        base_ += begin_;
        begin_ = 0;
        end_ = rest;
    }
    size_t room = std::min(kStep, buffer_.size() - end_);
    while (true) {
        if (stop_ != nullptr) {
            if (auto ok = wait(); !ok) {
                return ok.error();
            }
        }
        ssize_t got = ::read(fd_.get(), buffer_.data() + end_, room);
        if (got >= 0) {
            end_ += static_cast<size_t>(got);
            return got > 0;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return errno_error(errno, kOp, name_);
        }
    }
}

Expected<bool> BlockInput::need(size_t size) {
    assert(is_memory_ || size <= kWindow);
    while (end_ - begin_ < size) {
        auto more = fill();
        if (!more) {
            return more.error();
        }
        if (!*more) {
            return false;
        }
    }
    return true;
}

Error PcapParser::damage(uint64_t offset, const std::string& reason) const {
    return Error{EINVAL, kOp, input.name() + ": offset " + std::to_string(offset) + ": " + reason, {}, {}};
}

/* -- Classic pcap --------------------------------------------------------- */

namespace {

constexpr size_t kFileHeader = 24;
constexpr size_t kRecordHeader = 16;

template <bool kSwapped>
class ClassicParser final : public PcapParser {
  public:
    ClassicParser(BlockInput source, bool is_nano)
        : PcapParser(std::move(source)), unit_(is_nano ? 1 : 1000) {
        const uint8_t* header = input.window().data();
        CaptureInterface only;
        only.snaplen = load_order<kSwapped>(header + 16);
        // The upper bits of the word carry the length of a frame check sequence, not the link type.
        only.link_type = load_order<kSwapped>(header + 20) & 0x03ff'ffff;
        only.resolution = is_nano ? 9 : 6;
        interfaces.push_back(only);
        input.consume(kFileHeader);
    }

    bool is_pcapng() const override { return false; }

    Status read(std::vector<PacketRecord>& records, size_t limit) override {
        while (true) {
            size_t need = parse(records, limit);
            if (!records.empty()) {
                return {};
            }
            if (need == 0) {
                uint32_t captured = load_order<kSwapped>(input.window().data() + 8);
                return damage(input.position(), "captured length " + std::to_string(captured) +
                                                    " is above the limit of " +
                                                    std::to_string(kMaxCapturedPacket));
            }
            auto more = input.need(need);
            if (!more) {
                return more.error();
            }
            size_t rest = input.window().size();
            if (!*more && rest == 0) {
                return {};
            }
            if (!*more) {
                return damage(input.position(), "file ends after " + std::to_string(rest) + " of " +
                                                    std::to_string(need) + " bytes of a record");
            }
        }
    }

  private:
    // Appends the whole records of the window. Returns how many bytes the next record needs as far as known,
    // 0 when its length is absurd.
    size_t parse(std::vector<PacketRecord>& records, size_t limit) {
        ByteView window = input.window();
        const uint8_t* at = window.data();
        const uint8_t* end = at + window.size();
        size_t need = kRecordHeader;
        while (records.size() < limit && static_cast<size_t>(end - at) >= kRecordHeader) {
            uint32_t captured = load_order<kSwapped>(at + 8);
            if (captured > kMaxCapturedPacket) {
                need = 0;
                break;
            }
            if (static_cast<size_t>(end - at) - kRecordHeader < captured) {
                need = kRecordHeader + captured;
                break;
            }
            uint64_t seconds = load_order<kSwapped>(at);
            uint64_t fraction = load_order<kSwapped>(at + 4);
            records.push_back({{at + kRecordHeader, captured},
                               seconds * 1'000'000'000 + fraction * unit_,
                               load_order<kSwapped>(at + 12),
                               0,
                               {}});
            at += kRecordHeader + captured;
        }
        input.consume(static_cast<size_t>(at - window.data()));
        return need;
    }

    uint64_t unit_; // nanoseconds
};

} // namespace

std::unique_ptr<PcapParser> make_classic_parser(BlockInput input, bool is_swapped, bool is_nano) {
    if (is_swapped) {
        return std::make_unique<ClassicParser<true>>(std::move(input), is_nano);
    }
    return std::make_unique<ClassicParser<false>>(std::move(input), is_nano);
}

/* -- Choice of the format ------------------------------------------------- */

Expected<std::unique_ptr<PcapParser>> make_pcap_parser(BlockInput input) {
    auto fail = [&](int code, const std::string& reason, std::string hint = {}) {
        return Error{code, "open capture", input.name() + ": " + reason, std::move(hint), {}};
    };
    auto got = input.need(kFileHeader);
    if (!got) {
        got.error().op = "open capture";
        return got.error();
    }
    ByteView window = input.window();
    uint32_t magic = window.size() >= 4 ? load<uint32_t>(window.data()) : 0;
    if (magic == 0x0a0d0d0a) {
        return make_pcapng_parser(std::move(input));
    }
    bool is_swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
    uint32_t native = is_swapped ? byte_swap(magic) : magic;
    if (native != 0xa1b2c3d4 && native != 0xa1b23c4d) {
        if (window.empty()) {
            return fail(EINVAL, "the file is empty");
        }
        if ((magic & 0xffff) == 0x8b1f) {
            return fail(ENOTSUP, "compressed with gzip", "unpack it in a pipe: zcat FILE | ... -");
        }
        if (native == 0xa1b2cd34 || byte_swap(magic) == 0xa1b2cd34) {
            return fail(ENOTSUP, "the modified pcap format of old Linux patches is not supported",
                        "convert it with editcap");
        }
        return fail(EINVAL, "neither pcap nor pcapng (starts with " +
                                to_hex(window.first(std::min<size_t>(window.size(), 4))) + ")");
    }
    if (!*got) {
        return fail(EINVAL,
                    "file ends after " + std::to_string(window.size()) + " of 24 bytes of the header");
    }
    uint16_t major = load<uint16_t>(window.data() + 4);
    major = is_swapped ? byte_swap(major) : major;
    if (major != 2) {
        return fail(ENOTSUP, "pcap version " + std::to_string(major) + " is not supported");
    }
    return make_classic_parser(std::move(input), is_swapped, native == 0xa1b23c4d);
}

} // namespace mimicsh::net
