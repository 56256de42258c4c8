// SPDX-License-Identifier: MIT
// Writing pcap and pcapng.
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "net/pcap_file.h"

namespace mimicsh::net {

namespace {

constexpr const char* kOp = "write capture";
constexpr size_t kBuffer = size_t{1} << 18;
constexpr uint32_t kSnaplen = kMaxCapturedPacket;
constexpr size_t kMaxComment = 0xffff;
constexpr uint64_t kGiga = 1'000'000'000;

template <std::integral T>
void append(ByteVec& to, T value) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    to.insert(to.end(), bytes, bytes + sizeof value);
}

void append(ByteVec& to, ByteView bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

void pad_to_four(ByteVec& to) {
    to.resize(round_up<size_t>(to.size(), 4));
}

void append_option(ByteVec& to, uint16_t code, ByteView value) {
    append(to, code);
    append(to, narrow<uint16_t>(value.size()));
    append(to, value);
    pad_to_four(to);
}

// Wraps a body, whose size is a multiple of 4, with type and lengths.
ByteVec make_block(uint32_t type, const ByteVec& body) {
    ByteVec block;
    auto length = narrow<uint32_t>(body.size() + 12);
    append(block, type);
    append(block, length);
    append(block, ByteView(body));
    append(block, length);
    return block;
}

} // namespace

PcapWriter::PcapWriter(Fd fd, std::string path, const WriterOptions& options)
    : fd_(std::move(fd)), path_(std::move(path)), format_(options.format) {
    buffer_.reserve(kBuffer);
}

PcapWriter::~PcapWriter() {
    (void)close();
}

Expected<std::unique_ptr<PcapWriter>> PcapWriter::create(const std::string& path,
                                                         const WriterOptions& options) {
    bool is_stdout = path == "-";
    Fd fd(is_stdout ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                    : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!fd.valid()) {
        return errno_error(errno, "create capture", is_stdout ? "standard output" : path);
    }
    std::unique_ptr<PcapWriter> writer(
        new PcapWriter(std::move(fd), is_stdout ? "standard output" : path, options));
    writer->put_file_header(options);
    // Readers at the other end of a pipe wait for the header before they wait for packets.
    if (Status status = writer->flush(); !status) {
        return status.error();
    }
    return writer;
}

void PcapWriter::put(const void* bytes, size_t size) {
    const auto* from = static_cast<const uint8_t*>(bytes);
    buffer_.insert(buffer_.end(), from, from + size);
}

void PcapWriter::put_file_header(const WriterOptions& options) {
    if (format_ != CaptureFormat::kPcapng) {
        append(buffer_, format_ == CaptureFormat::kPcapNanoseconds ? 0xa1b23c4dU : 0xa1b2c3d4U);
        append(buffer_, uint16_t{2});
        append(buffer_, uint16_t{4});
        append(buffer_, uint64_t{0}); // time zone and accuracy, never used
        append(buffer_, kSnaplen);
        append(buffer_, options.link_type);
        return;
    }
    ByteVec section;
    append(section, 0x1a2b3c4dU);
    append(section, uint16_t{1});
    append(section, uint16_t{0});
    append(section, UINT64_MAX); // section length not known
    append_option(section, 4, as_bytes("mimicsh"));
    append(section, uint32_t{0});
    append(buffer_, ByteView(make_block(0x0a0d0d0a, section)));
    ByteVec interface;
    append(interface, static_cast<uint16_t>(options.link_type));
    append(interface, uint16_t{0});
    append(interface, kSnaplen);
    if (!options.interface_name.empty()) {
        append_option(interface, 2, as_bytes(std::string_view(options.interface_name).substr(0, 256)));
    }
    static constexpr uint8_t kNanoseconds[] = {9};
    append_option(interface, 9, kNanoseconds);
    append(interface, uint32_t{0});
    append(buffer_, ByteView(make_block(1, interface)));
}

Status PcapWriter::put_classic(const PacketRecord& packet, uint32_t orig_len) {
    uint64_t seconds = packet.time_ns / kGiga;
    uint64_t fraction = packet.time_ns % kGiga;
    if (seconds > UINT32_MAX) {
        return Error{EOVERFLOW, kOp, path_ + ": the time is after 2106", "write pcapng instead", {}};
    }
    struct {
        uint32_t seconds, fraction, captured, original;
    } head{static_cast<uint32_t>(seconds),
           static_cast<uint32_t>(format_ == CaptureFormat::kPcapNanoseconds ? fraction : fraction / 1000),
           static_cast<uint32_t>(packet.data.size()), orig_len};
    put(&head, sizeof head);
    put(packet.data.data(), packet.data.size());
    return {};
}

Status PcapWriter::put_enhanced(const PacketRecord& packet, uint32_t orig_len, std::string_view verdict) {
    std::string comment;
    if (!verdict.empty()) {
        comment = "verdict=" + std::string(verdict);
        comment += packet.comment.empty() ? "" : " ";
    }
    comment += packet.comment;
    if (comment.size() > kMaxComment) {
        return Error{EMSGSIZE, kOp, path_ + ": a comment is longer than 65535 bytes", {}, {}};
    }
    auto captured = static_cast<uint32_t>(packet.data.size());
    uint32_t padded = round_up(captured, 4U);
    auto comment_size = static_cast<uint32_t>(comment.size());
    uint32_t options = comment.empty() ? 0 : 4 + round_up(comment_size, 4U) + 4;
    uint32_t length = 32 + padded + options;
    const uint32_t head[] = {6,
                             length,
                             0,
                             static_cast<uint32_t>(packet.time_ns >> 32),
                             static_cast<uint32_t>(packet.time_ns),
                             captured,
                             orig_len};
    constexpr uint32_t kZero = 0;
    put(head, sizeof head);
    put(packet.data.data(), captured);
    put(&kZero, padded - captured);
    if (!comment.empty()) {
        const uint32_t option = 1 | comment_size << 16;
        put(&option, sizeof option);
        put(comment.data(), comment.size());
        put(&kZero, round_up(comment_size, 4U) - comment_size);
        put(&kZero, sizeof kZero);
    }
    put(&length, sizeof length);
    return {};
}

Status PcapWriter::write(const PacketRecord& packet, std::string_view verdict) {
    if (!fd_.valid()) {
        return Error{EBADF, kOp, path_ + ": the writer is closed", {}, {}};
    }
    if (packet.data.size() > kMaxCapturedPacket) {
        return Error{EMSGSIZE,
                     kOp,
                     path_ + ": packet of " + std::to_string(packet.data.size()) + " bytes, the limit is " +
                         std::to_string(kMaxCapturedPacket),
                     {},
                     {}};
    }
    uint32_t orig_len = packet.orig_len != 0 ? packet.orig_len : static_cast<uint32_t>(packet.data.size());
    Status status;
    if (format_ == CaptureFormat::kPcapng) {
        status = put_enhanced(packet, orig_len, verdict);
    } else if (!packet.comment.empty() || !verdict.empty()) {
        status = Error{ENOTSUP, kOp, path_ + ": the pcap format has no comments", "write pcapng instead", {}};
    } else {
        status = put_classic(packet, orig_len);
    }
    return status && buffer_.size() >= kBuffer - 4096 ? flush() : status;
}

Status PcapWriter::flush() {
    ByteView rest = buffer_;
    while (!rest.empty()) {
        ssize_t put = ::write(fd_.get(), rest.data(), rest.size());
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            Error error = errno_error(errno, kOp, path_);
            buffer_.clear();
            return error;
        }
        rest = rest.subspan(static_cast<size_t>(put));
    }
    buffer_.clear();
    return {};
}

Status PcapWriter::close() {
    if (!fd_.valid()) {
        return {};
    }
    Status status = flush();
    int fd = fd_.release();
    if (::close(fd) != 0 && status) {
        status = errno_error(errno, kOp, path_);
    }
    return status;
}

} // namespace mimicsh::net
