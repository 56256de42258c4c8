// SPDX-License-Identifier: MIT
// Sending many packets: which way, and the fall-back.
#include "kernel/traffic.h"

#include <algorithm>
#include <cerrno>

#include "kernel/xsk.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "traffic.send";
/// Live frames that `auto` tries first, to see whether the device takes them.
constexpr uint64_t kTrial = 64;
/// Packets per second up to which `auto` uses the socket, which keeps them without any preparation.
constexpr double kSocketRate = 200'000;
/// Packets from which on `auto` takes AF_XDP: opening and closing it takes 10 to 30 ms, which some 100,000
/// packets win back.
constexpr uint64_t kMany = 200'000;

std::string joined(const std::string& a, const std::string& b) {
    return a.empty() || b.empty() ? a + b : a + "; " + b;
}

} // namespace

Status TrafficSender::open(const std::string& device) {
    auto where = NetNs::current();
    if (!where) {
        return where.error();
    }
    where_ = std::move(*where);
    auto socket = net::RawSocket::open_device(device, false);
    if (!socket) {
        Error error = socket.error();
        error.op = kOp;
        return error;
    }
    socket_ = net::sink_socket(std::move(*socket));
    device_ = device;
    return {};
}

Expected<std::unique_ptr<TrafficSender>>
TrafficSender::create(const std::string& device, std::unique_ptr<net::PacketSupply> supply, SendWay way) {
    if (way == SendWay::kLive) {
        return Error{ENOTSUP, kOp, "live frames are copies of one packet", "give template= instead", {}};
    }
    std::unique_ptr<TrafficSender> sender(new TrafficSender);
    sender->way_ = way;
    sender->supply_ = std::move(supply);
    if (auto ok = sender->open(device); !ok) {
        return ok.error();
    }
    return sender;
}

Expected<std::unique_ptr<TrafficSender>> TrafficSender::create(const std::string& device,
                                                               const net::PacketTemplate& packet,
                                                               uint64_t seed, SendWay way) {
    std::unique_ptr<TrafficSender> sender(new TrafficSender);
    sender->way_ = way;
    sender->supply_ = net::supply_template(packet, seed);
    if (auto ok = sender->open(device); !ok) {
        return ok.error();
    }
    if (way != SendWay::kAuto && way != SendWay::kLive) {
        return sender;
    }
    auto live = LiveSender::create(packet, device);
    if (live) {
        sender->live_ = std::move(*live);
    } else if (way == SendWay::kLive) {
        return live.error();
    } else {
        sender->note_ =
            live.error().code == EPERM ? "live frames need CAP_BPF and CAP_NET_ADMIN" : live.error().text;
    }
    return sender;
}

net::TrafficReport TrafficSender::try_live(const net::TrafficOptions& options) {
    net::TrafficOptions trial = options;
    trial.count = options.count == 0 ? kTrial : std::min(options.count, kTrial);
    auto report = live_->send(trial);
    if (!report) {
        note_ = joined(note_, report.error().text);
        live_.reset();
        return {};
    }
    if (report->sent < trial.count && !options.is_stopped()) {
        note_ = joined(note_, "live frames: " + report->note);
        live_.reset();
    }
    return *report;
}

Expected<net::TrafficReport> TrafficSender::send_supply(const net::TrafficOptions& options) {
    const uint64_t expected = options.count != 0 ? options.count : supply_->expected();
    const bool is_slow = options.rate != 0 && options.rate <= kSocketRate;
    if (way_ == SendWay::kXsk || (way_ == SendWay::kAuto && !is_slow && expected >= kMany)) {
        auto xsk = open_xsk(device_);
        if (xsk) {
            return net::send_batches(**xsk, *supply_, options);
        }
        if (way_ == SendWay::kXsk) {
            return xsk.error();
        }
        note_ = joined(note_, xsk.error().text);
    }
    return net::send_batches(*socket_, *supply_, options);
}

Expected<net::TrafficReport> TrafficSender::run(net::TrafficOptions options) {
    const NetNsScope scope(where_);
    if (!scope.status()) {
        return scope.status().error();
    }
    if (live_ != nullptr && way_ == SendWay::kAuto && options.rate != 0 && options.rate <= kSocketRate) {
        note_ = "live frames are for higher rates";
        live_.reset();
    }
    net::TrafficReport first;
    if (live_ != nullptr && way_ == SendWay::kAuto) {
        first = try_live(options);
        if (options.count != 0 && first.sent >= options.count) {
            return first;
        }
        options.count -= options.count == 0 ? 0 : first.sent;
    }
    auto rest = live_ != nullptr ? live_->send(options) : send_supply(options);
    if (rest) {
        rest->sent += first.sent;
        rest->seconds += live_ != nullptr ? first.seconds : 0; // a failed trial says nothing of the rate
        rest->note = joined(note_, rest->note);
    }
    return rest;
}

} // namespace mimicsh::kernel
