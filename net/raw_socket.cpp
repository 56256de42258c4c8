// SPDX-License-Identifier: MIT
// packet(7) and raw(7) sockets: opening, sending and receiving in batches.
#include "net/raw_socket.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/device.h"

namespace mimicsh::net {

namespace {

constexpr const char* kOpenOp = "raw.open";
constexpr const char* kSendOp = "send";
constexpr const char* kReceiveOp = "recv";
constexpr size_t kBatch = 64;
constexpr size_t kVlanTag = 4;
constexpr size_t kMacAddresses = 12;
/// Room for one received packet, the tag of a VLAN in front: segments that the card put together have up to
/// 64 KiB and a header.
constexpr size_t kSlot = kVlanTag + 65536 + 256;
constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv4Destination = 16;

template <typename Value>
bool set_option(int fd, int level, int option, const Value& value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

Error open_error(int code, const std::string& what) {
    Error error = errno_error(code, kOpenOp, what);
    if (code == EPERM || code == EACCES) {
        error = Error{EPERM,
                      kOpenOp,
                      what + ": not permitted",
                      "raw sockets need CAP_NET_RAW: run as root, or inside `unshare -Urn`",
                      {}};
    }
    return error;
}

/// Nothing is queued for the socket from now on.
bool drop_all(int fd) {
    sock_filter drop{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog program{1, &drop};
    return set_option(fd, SOL_SOCKET, SO_ATTACH_FILTER, program);
}

/// What recvmmsg tells beside the bytes of one packet.
struct Ancillary {
    uint64_t time_ns = 0;
    std::optional<std::array<uint8_t, kVlanTag>> vlan;
};

Ancillary ancillary(msghdr& message) {
    Ancillary found;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            timespec time{};
            std::memcpy(&time, CMSG_DATA(part), sizeof time);
            found.time_ns =
                static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
        } else if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
            tpacket_auxdata aux{};
            std::memcpy(&aux, CMSG_DATA(part), sizeof aux);
            if ((aux.tp_status & TP_STATUS_VLAN_VALID) != 0) {
                const bool has_type = (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
                std::array<uint8_t, kVlanTag> tag{};
                store_be<uint16_t>(tag.data(), has_type ? aux.tp_vlan_tpid : ETHERTYPE_VLAN);
                store_be<uint16_t>(tag.data() + 2, aux.tp_vlan_tci);
                found.vlan = tag;
            }
        }
    }
    return found;
}

} // namespace

// -- Opening --

RawSocket::RawSocket(Fd fd, std::string device, bool is_reading)
    : fd_(std::move(fd)), device_(std::move(device)), is_reading_(is_reading),
      link_type_(device_.empty() ? kLinkRaw : kLinkEthernet) {}

Expected<std::unique_ptr<RawSocket>> RawSocket::open_device(const std::string& device, bool is_reading) {
    const uint32_t ifindex = if_nametoindex(device.c_str());
    if (ifindex == 0) {
        return Error{ENODEV, kOpenOp, device + ": no such interface", {}, {}};
    }
    // Protocol 0: nothing is queued before the socket knows its device.
    Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) {
        return open_error(errno, device);
    }
    std::unique_ptr<RawSocket> made(new RawSocket(std::move(fd), device, is_reading));
    if (auto ok = made->bind_device(ifindex); !ok) {
        return ok.error();
    }
    return made;
}

Status RawSocket::bind_device(uint32_t ifindex) {
    if (is_reading_ && (!set_option(fd(), SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) ||
                        !set_option(fd(), SOL_PACKET, PACKET_AUXDATA, 1) ||
                        !set_option(fd(), SOL_SOCKET, SO_TIMESTAMPNS, 1))) {
        return open_error(errno, device_);
    }
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = is_reading_ ? htons(ETH_P_ALL) : uint16_t{0};
    address.sll_ifindex = static_cast<int>(ifindex);
    if (bind(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return open_error(errno, device_);
    }
    return {};
}

Expected<std::unique_ptr<RawSocket>> RawSocket::open_protocol(uint8_t protocol, bool is_reading) {
    const std::string what = "protocol " + std::to_string(protocol);
    Fd fd(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    if (!fd.valid()) {
        return open_error(errno, what);
    }
    if ((!is_reading && !drop_all(fd.get())) || !set_option(fd.get(), IPPROTO_IP, IP_HDRINCL, 1) ||
        !set_option(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1)) {
        return open_error(errno, what);
    }
    return std::unique_ptr<RawSocket>(new RawSocket(std::move(fd), {}, is_reading));
}

// -- Sending --

Error RawSocket::send_error(int code, ByteView packet) const {
    if (!device_.empty()) {
        if (auto usable = check_device(fd(), device_, kSendOp); !usable) {
            return usable.error();
        }
    }
    if (code == EMSGSIZE && !device_.empty()) {
        return too_long(device_, packet.size(), device_mtu(fd(), device_), kSendOp);
    }
    return errno_error(code, kSendOp,
                       device_.empty() ? "packet of " + std::to_string(packet.size()) + " bytes" : device_);
}

Status RawSocket::send(std::span<const ByteView> packets, size_t& sent) {
    sent = 0;
    while (sent < packets.size()) {
        std::array<mmsghdr, kBatch> messages{};
        std::array<iovec, kBatch> parts{};
        std::array<sockaddr_in, kBatch> targets{};
        const size_t count = std::min(kBatch, packets.size() - sent);
        size_t ready = 0;
        for (; ready < count; ++ready) {
            const ByteView packet = packets[sent + ready];
            parts[ready] = {const_cast<uint8_t*>(packet.data()), packet.size()};
            msghdr& header = messages[ready].msg_hdr;
            header.msg_iov = &parts[ready];
            header.msg_iovlen = 1;
            if (!device_.empty()) {
                continue;
            }
            if (packet.size() < kIpv4Header || packet[0] >> 4 != 4) {
                break;
            }
            targets[ready].sin_family = AF_INET;
            std::memcpy(&targets[ready].sin_addr, packet.data() + kIpv4Destination, 4);
            header.msg_name = &targets[ready];
            header.msg_namelen = sizeof targets[ready];
        }
        if (ready == 0) {
            ++counters_.errors;
            return Error{EINVAL,
                         kSendOp,
                         "the packet does not begin with an IPv4 header",
                         "raw.open(device) sends whole frames",
                         {}};
        }
        const int done = sendmmsg(fd(), messages.data(), static_cast<unsigned>(ready), MSG_DONTWAIT);
        if (done < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return {};
            }
            const int code = errno;
            ++counters_.errors;
            return send_error(code, packets[sent]);
        }
        for (int i = 0; i < done; ++i) {
            counters_.sent_bytes += packets[sent + static_cast<size_t>(i)].size();
        }
        counters_.sent += static_cast<uint64_t>(done);
        sent += static_cast<size_t>(done);
    }
    return {};
}

// -- Receiving --

Status RawSocket::receive(std::vector<PacketRecord>& records, size_t limit) {
    records.clear();
    const size_t count = std::min(kBatch, limit);
    buffer_.resize(count * kSlot);
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, kBatch> parts{};
    constexpr size_t kControl = CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(sizeof(tpacket_auxdata));
    struct alignas(cmsghdr) Control {
        std::array<uint8_t, kControl> bytes;
    };
    std::array<Control, kBatch> control{};
    for (size_t i = 0; i < count; ++i) {
        parts[i] = {buffer_.data() + i * kSlot + kVlanTag, kSlot - kVlanTag};
        msghdr& header = messages[i].msg_hdr;
        header.msg_iov = &parts[i];
        header.msg_iovlen = 1;
        header.msg_control = control[i].bytes.data();
        header.msg_controllen = kControl;
    }
    const int got =
        recvmmsg(fd(), messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT | MSG_TRUNC, nullptr);
    if (got < 0) {
        const int code = errno;
        // The kernel tells a reader once that its device has gone or down; from then on nothing comes.
        if (!device_.empty()) {
            if (auto usable = check_device(fd(), device_, kReceiveOp); !usable) {
                return usable;
            }
        }
        return code == EAGAIN || code == EINTR ? Status{} : Status{errno_error(code, kReceiveOp, device_)};
    }
    for (size_t i = 0; i < static_cast<size_t>(got); ++i) {
        const Ancillary extra = ancillary(messages[i].msg_hdr);
        uint8_t* start = buffer_.data() + i * kSlot + kVlanTag;
        const size_t on_wire = messages[i].msg_len;
        size_t size = std::min(on_wire, kSlot - kVlanTag);
        if (extra.vlan && size >= kMacAddresses) {
            std::memmove(start - kVlanTag, start, kMacAddresses);
            std::ranges::copy(*extra.vlan, start - kVlanTag + kMacAddresses);
            start -= kVlanTag;
            size += kVlanTag;
        }
        PacketRecord record;
        record.data = ByteView(start, size);
        record.time_ns = extra.time_ns;
        record.orig_len = narrow<uint32_t>(on_wire + (extra.vlan ? kVlanTag : 0));
        records.push_back(record);
        ++counters_.received;
        counters_.received_bytes += size;
    }
    return {};
}

// -- Addresses --

Expected<std::string> source_address(const std::string& destination) {
    constexpr const char* kOp = "raw.keepalive";
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(9); // nothing is sent: connecting a datagram socket only looks up the route
    if (inet_pton(AF_INET, destination.c_str(), &address.sin_addr) != 1) {
        return Error{EINVAL, kOp, "'" + destination + "' is no IPv4 address", {}, {}};
    }
    const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof address;
    if (!fd.valid() || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        return errno_error(errno, kOp, destination);
    }
    std::array<char, INET_ADDRSTRLEN> text{};
    inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
    return std::string(text.data());
}

} // namespace mimicsh::net
