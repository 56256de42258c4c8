// SPDX-License-Identifier: MIT
// An AF_XDP socket for sending (net/xdp/xsk.c, xsk_generic_xmit), set up by libxdp.
#include "kernel/xsk.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

#include <net/ethernet.h>
#include <sys/socket.h>

extern "C" {
#include <xdp/xsk.h>
}

#include <fmt/format.h>

#include "net/device.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "traffic.send";
constexpr uint32_t kFrames = 1024; ///< the entries of each ring too, so that none overflows
constexpr uint32_t kSmallFrame = 2048;
constexpr uint32_t kLargeFrame = 4096; ///< a frame is at most a page
constexpr uint32_t kVlanTag = 4;
constexpr long kPauseNs = 100'000;
constexpr int kPatience = 10'000; ///< pauses without progress before what is left counts as lost: 1 s
/// A queue stays taken for some grace periods after a socket of before has been closed: 30 ms, 90 ms on a
/// busy machine.
constexpr std::chrono::seconds kOpenPatience{1};

void pause() {
    const timespec time{0, kPauseNs};
    (void)nanosleep(&time, nullptr);
}

struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
};
struct CloseUmem {
    void operator()(xsk_umem* umem) const { (void)xsk_umem__delete(umem); }
};
struct CloseSocket {
    void operator()(xsk_socket* socket) const { xsk_socket__delete(socket); }
};

Error open_error(int code, const std::string& device) {
    switch (code) {
    case EPERM:
    case EACCES:
        return Error{EPERM,
                     kOp,
                     device + ": AF_XDP: not permitted",
                     "it needs CAP_NET_RAW: run as root, or inside `unshare -Urn`",
                     {}};
    case EBUSY:
        return Error{code,
                     kOp,
                     device + ": AF_XDP: another socket has the queue",
                     "how=\"sendmmsg\" shares the device",
                     {}};
    case ENOBUFS:
        return Error{code, kOp, device + ": AF_XDP: no locked memory left", "ulimit -l shows the limit", {}};
    default:
        return errno_error(code, kOp, device + ": AF_XDP");
    }
}

class XskSink final : public net::PacketSink {
  public:
    XskSink(std::string device, Fd control, uint32_t mtu)
        : device_(std::move(device)), control_(std::move(control)), mtu_(mtu) {}
    [[nodiscard]] Status open();

    std::string name() const override { return "xsk"; }
    Status send(std::span<const ByteView> packets, size_t& sent) override;
    void wait() override { pause(); }
    uint64_t finish() override;

  private:
    [[nodiscard]] bool is_too_long(ByteView packet) const;
    [[nodiscard]] uint32_t in_ring();
    void take_back();
    [[nodiscard]] Status kick();

    std::string device_;
    Fd control_; ///< for questions about the device; an AF_XDP socket answers none
    uint32_t mtu_;
    uint32_t frame_size_ = kSmallFrame;
    std::unique_ptr<uint8_t, Free> area_; ///< the frames
    // The library expects rings that start as zeros; they live as long as their memory and socket.
    xsk_ring_prod fill_{};
    xsk_ring_prod tx_{};
    xsk_ring_cons done_{};
    std::unique_ptr<xsk_umem, CloseUmem> umem_;
    std::unique_ptr<xsk_socket, CloseSocket> socket_; ///< goes before its memory
    std::vector<uint64_t> free_;                      ///< addresses of frames
    uint64_t lost_ = 0;
};

Status XskSink::open() {
    frame_size_ = mtu_ + ETH_HLEN + kVlanTag <= kSmallFrame ? kSmallFrame : kLargeFrame;
    if (mtu_ + ETH_HLEN + kVlanTag > kLargeFrame) {
        return Error{ENOTSUP,
                     kOp,
                     fmt::format("{}: AF_XDP: an MTU of {} (up to {} can be)", device_, mtu_,
                                 kLargeFrame - ETH_HLEN - kVlanTag),
                     "how=\"sendmmsg\" works on every device",
                     {}};
    }
    const size_t size = size_t{kFrames} * frame_size_;
    area_.reset(static_cast<uint8_t*>(std::aligned_alloc(kLargeFrame, size)));
    const xsk_umem_config memory{.fill_size = 64, // nothing is received
                                 .comp_size = kFrames,
                                 .frame_size = frame_size_,
                                 .frame_headroom = 0,
                                 .flags = 0};
    xsk_umem* umem = nullptr;
    if (const int code = xsk_umem__create(&umem, area_.get(), size, &fill_, &done_, &memory); code != 0) {
        return open_error(-code, device_);
    }
    umem_.reset(umem);
    xsk_socket_config config{};
    config.tx_size = kFrames;
    config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
    config.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP;
    const auto deadline = std::chrono::steady_clock::now() + kOpenPatience;
    xsk_socket* socket = nullptr;
    int code = 0;
    while ((code = xsk_socket__create(&socket, device_.c_str(), 0, umem, nullptr, &tx_, &config)) == -EBUSY &&
           std::chrono::steady_clock::now() < deadline) {
        pause();
    }
    socket_.reset(code == 0 ? socket : nullptr);
    if (code != 0) {
        return open_error(-code, device_);
    }
    for (uint32_t i = 0; i < kFrames; ++i) {
        free_.push_back(uint64_t{i} * frame_size_);
    }
    return {};
}

/// As packet(7) sees it: a VLAN tag does not count.
bool XskSink::is_too_long(ByteView packet) const {
    const bool is_tagged =
        packet.size() > ETH_HLEN && load_be<uint16_t>(packet.data() + 12) == ETHERTYPE_VLAN;
    return packet.size() > mtu_ + ETH_HLEN + (is_tagged ? kVlanTag : 0);
}

/// Frames that the kernel has not taken yet.
uint32_t XskSink::in_ring() {
    return tx_.size - xsk_prod_nb_free(&tx_, tx_.size);
}

void XskSink::take_back() {
    uint32_t first = 0;
    const uint32_t count = xsk_ring_cons__peek(&done_, kFrames, &first);
    for (uint32_t i = 0; i < count; ++i) {
        free_.push_back(*xsk_ring_cons__comp_addr(&done_, first + i));
    }
    xsk_ring_cons__release(&done_, count);
}

/// The kernel sends up to 32 frames a call, and says EAGAIN when there are more or when there is no room;
/// EBUSY is about one frame, which it took and the device dropped.
Status XskSink::kick() {
    uint32_t left = in_ring();
    while (left != 0) {
        const int code =
            sendto(xsk_socket__fd(socket_.get()), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0 ? errno : 0;
        const uint32_t before = left;
        left = in_ring();
        if (code == EBUSY && left != before) {
            ++lost_;
        } else if (code != 0 && code != EAGAIN && code != EBUSY && code != ENOBUFS && code != EINTR) {
            auto usable = net::check_device(control_.get(), device_, kOp);
            return usable ? Status{errno_error(code, kOp, device_)} : usable;
        }
        if (left == before) {
            break;
        }
    }
    return {};
}

Status XskSink::send(std::span<const ByteView> packets, size_t& sent) {
    sent = 0;
    take_back();
    const size_t count = std::min(packets.size(), free_.size());
    for (; sent < count && !is_too_long(packets[sent]); ++sent) {
        uint32_t place = 0;
        if (xsk_ring_prod__reserve(&tx_, 1, &place) == 0) {
            break;
        }
        const ByteView packet = packets[sent];
        std::memcpy(area_.get() + free_.back(), packet.data(), packet.size());
        *xsk_ring_prod__tx_desc(&tx_, place) = {
            .addr = free_.back(), .len = static_cast<uint32_t>(packet.size()), .options = 0};
        free_.pop_back();
    }
    xsk_ring_prod__submit(&tx_, static_cast<uint32_t>(sent));
    if (auto ok = kick(); !ok) {
        return ok;
    }
    if (sent < count && is_too_long(packets[sent])) {
        return net::too_long(device_, packets[sent].size(), mtu_, kOp);
    }
    return {};
}

uint64_t XskSink::finish() {
    uint32_t left = in_ring();
    for (int still = 0; left != 0 && still < kPatience; ++still) {
        if (!kick()) {
            break;
        }
        still = in_ring() == left ? still : 0;
        left = in_ring();
        if (left != 0) {
            pause();
        }
    }
    return lost_ + left;
}

} // namespace

Expected<std::unique_ptr<net::PacketSink>> open_xsk(const std::string& device) {
    Fd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!control.valid()) {
        return errno_error(errno, kOp, device);
    }
    if (auto usable = net::check_device(control.get(), device, kOp); !usable) {
        return usable.error();
    }
    const uint32_t mtu = net::device_mtu(control.get(), device);
    auto sink = std::make_unique<XskSink>(device, std::move(control), mtu);
    if (auto ok = sink->open(); !ok) {
        return ok.error();
    }
    return std::unique_ptr<net::PacketSink>(std::move(sink));
}

} // namespace mimicsh::kernel
