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
constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv4Destination = 16;
constexpr size_t kIpv6Header = 40;
constexpr size_t kIpv6Source = 8;
constexpr size_t kIpv6Destination = 24;
/// Room for one received packet, and in front for what has to be put back: segments that the card put
/// together have up to 64 KiB and a header.
constexpr size_t kFront = kIpv6Header;
constexpr size_t kSlot = kFront + 65536 + 256;
constexpr int kIpv6Flowinfo = 11; ///< IPV6_FLOWINFO of <linux/in6.h>, which clashes with <netinet/in.h>

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
    uint32_t flow = 0; ///< the first word of an IPv6 header, without the version, in network order
    int hop_limit = 0;
    in6_addr destination{};
};

template <typename Value>
Value control_value(cmsghdr& part) {
    Value value{};
    std::memcpy(&value, CMSG_DATA(&part), sizeof value);
    return value;
}

void read_vlan(cmsghdr& part, Ancillary& found) {
    const auto aux = control_value<tpacket_auxdata>(part);
    if ((aux.tp_status & TP_STATUS_VLAN_VALID) != 0) {
        const bool has_type = (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
        std::array<uint8_t, kVlanTag> tag{};
        store_be<uint16_t>(tag.data(), has_type ? aux.tp_vlan_tpid : ETHERTYPE_VLAN);
        store_be<uint16_t>(tag.data() + 2, aux.tp_vlan_tci);
        found.vlan = tag;
    }
}

Ancillary ancillary(msghdr& message) {
    Ancillary found;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            const auto time = control_value<timespec>(*part);
            found.time_ns =
                static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
        } else if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
            read_vlan(*part, found);
        } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == kIpv6Flowinfo) {
            found.flow = control_value<uint32_t>(*part);
        } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_HOPLIMIT) {
            found.hop_limit = control_value<int>(*part);
        } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
            found.destination = control_value<in6_pktinfo>(*part).ipi6_addr;
        }
    }
    return found;
}

/// The tag that the card took off, back in front of the type. Returns where the frame begins now.
uint8_t* put_back_tag(uint8_t* start, const std::array<uint8_t, kVlanTag>& tag) {
    std::memmove(start - kVlanTag, start, kMacAddresses);
    std::ranges::copy(tag, start - kVlanTag + kMacAddresses);
    return start - kVlanTag;
}

/// An IPv6 header in front of what came with it.
uint8_t* put_back_header(uint8_t* start, size_t size, uint8_t protocol, const Ancillary& extra,
                         const in6_addr& source) {
    uint8_t* header = start - kIpv6Header;
    std::memcpy(header, &extra.flow, sizeof extra.flow);
    header[0] = static_cast<uint8_t>(header[0] | 0x60);
    store_be<uint16_t>(header + 4, static_cast<uint16_t>(size));
    header[6] = protocol;
    header[7] = static_cast<uint8_t>(extra.hop_limit);
    std::memcpy(header + kIpv6Source, &source, sizeof source);
    std::memcpy(header + kIpv6Destination, &extra.destination, sizeof extra.destination);
    return header;
}

/// Where the destination of a packet is written in its header; false when it is too short or of another
/// family.
bool set_target(ByteView packet, IpFamily family, sockaddr_in6& target, socklen_t& size) {
    const bool is_ipv6 = family == IpFamily::kIpv6;
    if (packet.size() < (is_ipv6 ? kIpv6Header : kIpv4Header) || packet[0] >> 4 != (is_ipv6 ? 6 : 4)) {
        return false;
    }
    if (is_ipv6) {
        target.sin6_family = AF_INET6;
        std::memcpy(&target.sin6_addr, packet.data() + kIpv6Destination, sizeof target.sin6_addr);
        size = sizeof target;
    } else {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        std::memcpy(&address.sin_addr, packet.data() + kIpv4Destination, sizeof address.sin_addr);
        std::memcpy(&target, &address, sizeof address);
        size = sizeof address;
    }
    return true;
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

Expected<std::unique_ptr<RawSocket>> RawSocket::open_protocol(uint8_t protocol, IpFamily family,
                                                              bool is_reading) {
    const std::string what = "protocol " + std::to_string(protocol);
    const int domain = family == IpFamily::kIpv6 ? AF_INET6 : AF_INET;
    Fd fd(socket(domain, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    if (!fd.valid()) {
        return open_error(errno, what);
    }
    std::unique_ptr<RawSocket> made(new RawSocket(std::move(fd), {}, is_reading));
    made->protocol_ = protocol;
    made->family_ = family;
    if (!made->bind_protocol()) {
        return open_error(errno, what);
    }
    return made;
}

/// Sets errno when it fails.
bool RawSocket::bind_protocol() {
    if ((!is_reading_ && !drop_all(fd())) || !set_option(fd(), SOL_SOCKET, SO_TIMESTAMPNS, 1)) {
        return false;
    }
    if (family_ == IpFamily::kIpv4) {
        return set_option(fd(), IPPROTO_IP, IP_HDRINCL, 1);
    }
    return set_option(fd(), IPPROTO_IPV6, IPV6_HDRINCL, 1) &&
           set_option(fd(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
           set_option(fd(), IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) &&
           set_option(fd(), IPPROTO_IPV6, kIpv6Flowinfo, 1);
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
        std::array<sockaddr_in6, kBatch> targets{};
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
            if (!set_target(packet, family_, targets[ready], header.msg_namelen)) {
                break;
            }
            header.msg_name = &targets[ready];
        }
        if (ready == 0) {
            ++counters_.errors;
            return Error{EINVAL,
                         kSendOp,
                         family_ == IpFamily::kIpv6 ? "the packet does not begin with an IPv6 header"
                                                    : "the packet does not begin with an IPv4 header",
                         "raw.open(device) sends whole frames, raw.open{family=\"ip6\"} IPv6 packets",
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
    constexpr size_t kControl = CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(sizeof(tpacket_auxdata)) +
                                CMSG_SPACE(sizeof(in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int));
    struct alignas(cmsghdr) Control {
        std::array<uint8_t, kControl> bytes;
    };
    std::array<Control, kBatch> control{};
    std::array<sockaddr_in6, kBatch> sources{};
    for (size_t i = 0; i < count; ++i) {
        parts[i] = {buffer_.data() + i * kSlot + kFront, kSlot - kFront};
        msghdr& header = messages[i].msg_hdr;
        header.msg_iov = &parts[i];
        header.msg_iovlen = 1;
        header.msg_control = control[i].bytes.data();
        header.msg_controllen = kControl;
        header.msg_name = &sources[i]; // an IPv4 address and that of a device are shorter
        header.msg_namelen = sizeof sources[i];
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
        uint8_t* start = buffer_.data() + i * kSlot + kFront;
        const size_t on_wire = messages[i].msg_len;
        size_t size = std::min(on_wire, kSlot - kFront);
        size_t added = 0;
        if (extra.vlan && size >= kMacAddresses) {
            start = put_back_tag(start, *extra.vlan);
            added = kVlanTag;
        } else if (device_.empty() && family_ == IpFamily::kIpv6) {
            start = put_back_header(start, size, protocol_, extra, sources[i].sin6_addr);
            added = kIpv6Header;
        }
        size += added;
        PacketRecord record;
        record.data = ByteView(start, size);
        record.time_ns = extra.time_ns;
        record.orig_len = narrow<uint32_t>(on_wire + added);
        records.push_back(record);
        ++counters_.received;
        counters_.received_bytes += size;
    }
    return {};
}

// -- Addresses --

Expected<std::string> source_address(const std::string& destination) {
    constexpr const char* kOp = "raw.keepalive";
    constexpr uint16_t kPort = 9; // nothing is sent: connecting a datagram socket only looks up the route
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(kPort);
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(kPort);
    const bool is_ipv4 = inet_pton(AF_INET, destination.c_str(), &ipv4.sin_addr) == 1;
    if (!is_ipv4 && inet_pton(AF_INET6, destination.c_str(), &ipv6.sin6_addr) != 1) {
        return Error{EINVAL, kOp, "'" + destination + "' is no IP address", {}, {}};
    }
    auto* address = is_ipv4 ? reinterpret_cast<sockaddr*>(&ipv4) : reinterpret_cast<sockaddr*>(&ipv6);
    socklen_t size = is_ipv4 ? sizeof ipv4 : sizeof ipv6;
    const Fd fd(socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid() || connect(fd.get(), address, size) != 0 || getsockname(fd.get(), address, &size) != 0) {
        Error error = errno_error(errno, kOp, destination);
        if (!is_ipv4 && IN6_IS_ADDR_LINKLOCAL(&ipv6.sin6_addr)) {
            error.hint = "a link-local address says nothing of its device: dev= sends whole frames there";
        }
        return error;
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* own = is_ipv4 ? static_cast<const void*>(&ipv4.sin_addr) : &ipv6.sin6_addr;
    inet_ntop(address->sa_family, own, text.data(), text.size());
    return std::string(text.data());
}

} // namespace mimicsh::net
