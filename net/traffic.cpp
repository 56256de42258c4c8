// SPDX-License-Identifier: MIT
// Sending many packets by sendmmsg, at a rate.
#include "net/traffic.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>

#include <poll.h>

namespace mimicsh::net {

namespace {

constexpr const char* kOp = "traffic.send";
constexpr size_t kBatch = 64;
constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kLongestSleep = kSecond / 50; ///< a stop is noticed after that
constexpr uint64_t kShortestSleep = kSecond / 10'000;
/// Bytes of a capture that is gone through more than once, up to which it is kept in memory.
constexpr size_t kKept = 64 << 20;
constexpr size_t kRecordHeader = 16; ///< of pcap; pcapng's is longer

uint64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec);
}

void sleep_ns(uint64_t nanoseconds) {
    const timespec time{static_cast<time_t>(nanoseconds / kSecond), static_cast<long>(nanoseconds % kSecond)};
    (void)nanosleep(&time, nullptr);
}

/// `times` as often as `size`, 0 times = without end.
uint64_t times_over(uint64_t size, uint64_t times) {
    return times == 0 || (size != 0 && times > UINT64_MAX / size) ? UINT64_MAX : size * times;
}

class ListSupply final : public PacketSupply {
  public:
    ListSupply(std::vector<ByteVec> packets, uint64_t loops) : packets_(std::move(packets)), loops_(loops) {}
    Status next(std::vector<ByteView>& packets, size_t limit) override {
        packets.clear();
        while (packets.size() < limit && !packets_.empty()) {
            if (next_ == packets_.size()) {
                ++done_;
                next_ = 0;
            }
            if (loops_ != 0 && done_ == loops_) {
                break;
            }
            packets.emplace_back(packets_[next_++]);
        }
        return {};
    }
    uint64_t expected() const override { return times_over(packets_.size(), loops_); }

  private:
    std::vector<ByteVec> packets_;
    uint64_t loops_;
    uint64_t done_ = 0;
    size_t next_ = 0;
};

/// Reads the file once, and again for each time it does not fit into memory.
class CaptureSupply final : public PacketSupply {
  public:
    CaptureSupply(std::string path, std::unique_ptr<PcapReader> reader, uint64_t loops, uint64_t expected)
        : path_(std::move(path)), reader_(std::move(reader)), loops_(loops), expected_(expected),
          is_keeping_(loops != 1) {}
    Status next(std::vector<ByteView>& packets, size_t limit) override {
        if (memory_ != nullptr) {
            return memory_->next(packets, limit);
        }
        packets.clear();
        if (auto ok = reader_->read(records_, limit); !ok) {
            return ok;
        }
        if (records_.empty() && (loops_ == 0 || ++done_ < loops_)) {
            if (is_keeping_) {
                memory_ = supply_list(std::move(kept_), loops_ == 0 ? 0 : loops_ - done_);
                return memory_->next(packets, limit);
            }
            auto again = PcapReader::open(path_);
            if (!again) {
                return again.error();
            }
            reader_ = std::move(*again);
            if (auto ok = reader_->read(records_, limit); !ok) {
                return ok;
            }
        }
        for (const PacketRecord& record : records_) {
            packets.push_back(record.data);
        }
        keep();
        return {};
    }
    uint64_t expected() const override { return expected_; }

  private:
    void keep() {
        for (size_t i = 0; is_keeping_ && i < records_.size(); ++i) {
            const ByteView bytes = records_[i].data;
            kept_.emplace_back(bytes.begin(), bytes.end());
            kept_bytes_ += bytes.size() + sizeof(ByteVec);
            is_keeping_ = kept_bytes_ <= kKept;
        }
        if (!is_keeping_) {
            kept_ = {};
        }
    }

    std::string path_;
    std::unique_ptr<PcapReader> reader_;
    uint64_t loops_;
    uint64_t expected_;
    uint64_t done_ = 0;
    std::vector<PacketRecord> records_;
    bool is_keeping_; ///< of the first time through
    std::vector<ByteVec> kept_;
    size_t kept_bytes_ = 0;
    std::unique_ptr<PacketSupply> memory_; ///< the rest, once all is kept
};

/// Packets in a file, from its size and its first packets; 0 for what is no file.
uint64_t count_about(const std::string& path) {
    std::error_code code;
    if (!std::filesystem::is_regular_file(path, code)) {
        return 0; // what a pipe gives can be read only once
    }
    const uint64_t size = std::filesystem::file_size(path, code);
    auto reader = PcapReader::open(path);
    std::vector<PacketRecord> first;
    if (code || !reader || !(*reader)->read(first, kBatch) || first.empty()) {
        return 0;
    }
    size_t bytes = 0;
    for (const PacketRecord& record : first) {
        bytes += record.data.size() + kRecordHeader;
    }
    return std::max<uint64_t>(size * first.size() / bytes, 1);
}

class TemplateSupply final : public PacketSupply {
  public:
    TemplateSupply(PacketTemplate packet, uint64_t seed)
        : template_(std::move(packet)), random_(seed | 1), copies_(kBatch, template_.bytes()) {}
    Status next(std::vector<ByteView>& packets, size_t limit) override {
        packets.clear();
        for (ByteVec& copy : copies_) {
            if (packets.size() == limit) {
                break;
            }
            template_.write(index_++, copy, random_);
            packets.emplace_back(copy);
        }
        return {};
    }
    uint64_t expected() const override { return UINT64_MAX; }

  private:
    PacketTemplate template_;
    uint64_t random_;
    uint64_t index_ = 0;
    std::vector<ByteVec> copies_;
};

class SocketSink final : public PacketSink {
  public:
    explicit SocketSink(std::unique_ptr<RawSocket> socket) : socket_(std::move(socket)) {}
    std::string name() const override { return "sendmmsg"; }
    Status send(std::span<const ByteView> packets, size_t& sent) override {
        return socket_->send(packets, sent);
    }
    void wait() override {
        pollfd wanted{socket_->fd(), POLLOUT, 0};
        (void)poll(&wanted, 1, static_cast<int>(kLongestSleep / 1'000'000));
    }

  private:
    std::unique_ptr<RawSocket> socket_;
};

/// Sends all of the packets, waiting for room as often as it takes. Counts the waits for a full device queue.
Status send_all(PacketSink& sink, std::span<const ByteView> packets, const TrafficOptions& options,
                TrafficReport& report, uint64_t& full) {
    while (!packets.empty() && !options.is_stopped()) {
        size_t sent = 0;
        const auto done = sink.send(packets, sent);
        report.sent += sent;
        packets = packets.subspan(sent);
        if (!done && done.error().code == ENOBUFS) {
            ++full;
            sleep_ns(kShortestSleep);
        } else if (!done) {
            Error error = done.error();
            error.op = kOp;
            error.text += "; " + std::to_string(report.sent - sink.finish()) + " packets were sent before";
            return error;
        } else if (!packets.empty()) {
            sink.wait();
        }
    }
    return {};
}

} // namespace

// -- Rates --

Pacer::Pacer(const TrafficOptions& options) : options_(options), start_ns_(now_ns()) {}

double Pacer::seconds() const {
    return static_cast<double>(now_ns() - start_ns_) / static_cast<double>(kSecond);
}

uint64_t Pacer::next(uint64_t sent, uint64_t limit) const {
    while (!options_.is_stopped()) {
        if (options_.rate == 0) {
            return limit;
        }
        // The first is due at once, the nth at (n - 1) / rate.
        const auto due = static_cast<uint64_t>(seconds() * options_.rate) + 1;
        if (due > sent) {
            return std::min(limit, due - sent);
        }
        const double wait = static_cast<double>(sent) / options_.rate - seconds();
        const auto wait_ns = static_cast<uint64_t>(std::max(wait, 0.0) * static_cast<double>(kSecond));
        sleep_ns(std::clamp(wait_ns, kShortestSleep, kLongestSleep));
    }
    return 0;
}

// -- Sources --

std::unique_ptr<PacketSupply> supply_list(std::vector<ByteVec> packets, uint64_t loops) {
    return std::make_unique<ListSupply>(std::move(packets), loops);
}

Expected<std::unique_ptr<PacketSupply>> supply_capture(const std::string& path, uint64_t loops) {
    auto reader = PcapReader::open(path);
    if (!reader) {
        return reader.error();
    }
    const uint64_t expected = loops == 0 ? UINT64_MAX : times_over(count_about(path), loops);
    return std::unique_ptr<PacketSupply>(
        std::make_unique<CaptureSupply>(path, std::move(*reader), loops, expected));
}

std::unique_ptr<PacketSupply> supply_template(PacketTemplate packet, uint64_t seed) {
    return std::make_unique<TemplateSupply>(std::move(packet), seed);
}

// -- Sending --

std::unique_ptr<PacketSink> sink_socket(std::unique_ptr<RawSocket> socket) {
    return std::make_unique<SocketSink>(std::move(socket));
}

Expected<TrafficReport> send_batches(PacketSink& sink, PacketSupply& supply, const TrafficOptions& options) {
    TrafficReport report{.how = sink.name()};
    std::vector<ByteView> packets;
    uint64_t full = 0;
    const Pacer pacer(options);
    while (options.count == 0 || report.sent < options.count) {
        const uint64_t left = options.count == 0 ? kBatch : options.count - report.sent;
        const uint64_t now = pacer.next(report.sent, std::min<uint64_t>(left, kBatch));
        if (now == 0) {
            break;
        }
        if (auto ok = supply.next(packets, static_cast<size_t>(now)); !ok) {
            return ok.error();
        }
        if (packets.empty()) {
            break;
        }
        if (auto ok = send_all(sink, packets, options, report, full); !ok) {
            return ok.error();
        }
    }
    const uint64_t lost = sink.finish();
    report.seconds = pacer.seconds();
    report.sent -= lost;
    if (full != 0) {
        report.note = "the queue of the device was full " + std::to_string(full) + " times";
    } else if (lost != 0) {
        report.note = "the device dropped " + std::to_string(lost);
    }
    return report;
}

} // namespace mimicsh::net
