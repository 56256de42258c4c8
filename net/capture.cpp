// SPDX-License-Identifier: MIT
// Live capture, on libpcap.
#include "net/capture.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <net/if.h>
#include <pcap/pcap.h>

#include "net/device.h"
#include "net/filter.h"

namespace mimicsh::net {

namespace {

constexpr const char* kOp = "pcap.live";
constexpr const char* kAnyDevice = "any";
/// libpcap 1.10 takes a few bytes less than it was asked for where they just fill its frames.
constexpr uint32_t kSnaplenSlack = 64;

uint32_t to_link_type(int dlt) {
    return dlt == DLT_RAW ? kLinkRaw : static_cast<uint32_t>(dlt);
}

} // namespace

// -- Live capture --

void LiveCapture::Close::operator()(pcap* handle) const {
    pcap_close(handle);
}

LiveCapture::LiveCapture(pcap* handle, std::string device) : handle_(handle), device_(std::move(device)) {}
LiveCapture::~LiveCapture() = default;

Expected<std::unique_ptr<LiveCapture>> LiveCapture::open(const std::string& device,
                                                         const CaptureOptions& options) {
    // libpcap would also take names of USB buses and the like.
    if (device != kAnyDevice && if_nametoindex(device.c_str()) == 0) {
        return Error{ENODEV, kOp, device + ": no such interface", {}, {}};
    }
    std::array<char, PCAP_ERRBUF_SIZE> reason{};
    pcap_t* handle = pcap_create(device.c_str(), reason.data());
    if (handle == nullptr) {
        return Error{EIO, kOp, device + ": " + reason.data(), {}, {}};
    }
    std::unique_ptr<LiveCapture> capture(new LiveCapture(handle, device));
    if (auto ok = capture->activate(options); !ok) {
        return ok.error();
    }
    return capture;
}

Status LiveCapture::activate(const CaptureOptions& options) {
    pcap_t* handle = handle_.get();
    std::array<char, PCAP_ERRBUF_SIZE> reason{};
    snaplen_ = options.snaplen;
    pcap_set_snaplen(handle, static_cast<int>(std::min(snaplen_ + kSnaplenSlack, kMaxCapturedPacket)));
    pcap_set_buffer_size(handle, static_cast<int>(options.buffer));
    pcap_set_promisc(handle, options.is_promiscuous ? 1 : 0);
    pcap_set_immediate_mode(handle, 1);
    pcap_set_tstamp_precision(handle, PCAP_TSTAMP_PRECISION_NANO);
    switch (const int code = pcap_activate(handle)) {
    case PCAP_ERROR_PERM_DENIED:
        return Error{EPERM,
                     kOp,
                     device_ + ": not permitted",
                     "capturing needs CAP_NET_RAW: run as root, or inside `unshare -Urn`",
                     {}};
    case PCAP_ERROR_IFACE_NOT_UP:
        return Error{ENETDOWN, kOp, device_ + ": the interface is down", {}, {}};
    default:
        if (code < 0) {
            return Error{EIO, kOp, device_ + ": " + pcap_geterr(handle), {}, {}};
        }
    }
    const pcap_direction_t direction = options.direction == CaptureDirection::kIn    ? PCAP_D_IN
                                       : options.direction == CaptureDirection::kOut ? PCAP_D_OUT
                                                                                     : PCAP_D_INOUT;
    if (pcap_setdirection(handle, direction) != 0 || pcap_setnonblock(handle, 1, reason.data()) != 0) {
        return Error{EIO, kOp, device_ + ": " + pcap_geterr(handle) + reason.data(), {}, {}};
    }
    link_type_ = to_link_type(pcap_datalink(handle));
    if (!options.filter.empty()) {
        bpf_program program{};
        if (pcap_compile(handle, &program, options.filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
            return filter_error({.op = kOp}, options.filter, pcap_geterr(handle), link_type_);
        }
        const int code = pcap_setfilter(handle, &program);
        pcap_freecode(&program);
        if (code != 0) {
            return Error{EINVAL, kOp, "filter '" + options.filter + "': " + pcap_geterr(handle), {}, {}};
        }
    }
    return {};
}

Status LiveCapture::read(std::vector<PacketRecord>& records, size_t limit) {
    struct Sink {
        std::vector<PacketRecord>& records;
        ByteVec& bytes;
        uint32_t snaplen;
    } sink{records, bytes_, snaplen_};
    records.clear();
    bytes_.clear();
    const auto take = [](u_char* user, const pcap_pkthdr* header, const u_char* data) {
        auto& into = *reinterpret_cast<Sink*>(user);
        PacketRecord record;
        // With nanosecond precision tv_usec counts nanoseconds.
        record.time_ns = static_cast<uint64_t>(header->ts.tv_sec) * 1'000'000'000 +
                         static_cast<uint64_t>(header->ts.tv_usec);
        record.orig_len = header->len;
        const uint32_t size = std::min(header->caplen, into.snaplen);
        record.data = ByteView(data, size); // its size counts; its place comes below
        into.bytes.insert(into.bytes.end(), data, data + size);
        into.records.push_back(record);
    };
    const int got =
        pcap_dispatch(handle_.get(), static_cast<int>(limit), take, reinterpret_cast<u_char*>(&sink));
    size_t offset = 0;
    for (PacketRecord& record : records) {
        record.data = ByteView(bytes_).subspan(offset, record.data.size());
        offset += record.data.size();
    }
    // libpcap goes on over an interface that is down, and has no code for one that is gone.
    if (got <= 0 && device_ != kAnyDevice) {
        if (auto failed = check_device(fd(), device_, kOp); !failed) {
            return failed;
        }
    }
    if (got < 0) {
        return Error{EIO, kOp, device_ + ": " + pcap_geterr(handle_.get()), {}, {}};
    }
    return {};
}

Expected<CaptureStats> LiveCapture::stats() {
    pcap_stat stat{};
    if (pcap_stats(handle_.get(), &stat) != 0) {
        return Error{EIO, kOp, device_ + ": " + pcap_geterr(handle_.get()), {}, {}};
    }
    return CaptureStats{stat.ps_recv, stat.ps_drop};
}

int LiveCapture::fd() const {
    return pcap_get_selectable_fd(handle_.get());
}

} // namespace mimicsh::net
