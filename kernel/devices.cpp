// SPDX-License-Identifier: MIT
// Devices, addresses and routes by rtnetlink; offloads by SIOCETHTOOL.
#include "kernel/devices.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/if.h> // behind <net/if.h>, which it then leaves alone

#include "base/fd.h"
#include "kernel/interfaces.h"
#include "kernel/netlink.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "lab";
constexpr uint16_t kNew = NLM_F_CREATE | NLM_F_EXCL;

Error bad(const std::string& text) {
    return Error{EINVAL, kOp, text, {}, {}};
}

Status send(NetlinkRequest& request, const std::string& what) {
    auto netlink = Netlink::open(kOp);
    return netlink ? netlink->request(request, what) : Status(netlink.error());
}

/// A name and what it stands for at the ends of a netlink address.
struct Address {
    uint8_t family = 0;
    uint8_t prefix = 0;
    ByteVec bytes;
};

/// "ADDRESS" or "ADDRESS/PREFIX"; without a prefix it is the whole width.
std::optional<Address> parse_address(const std::string& text) {
    Address address;
    const size_t slash = text.find('/');
    const std::string host = text.substr(0, slash);
    address.family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const uint32_t width = address.family == AF_INET ? 32 : 128;
    address.bytes.resize(width / 8);
    if (inet_pton(address.family, host.c_str(), address.bytes.data()) != 1) {
        return std::nullopt;
    }
    uint32_t prefix = width;
    if (slash != std::string::npos) {
        char* end = nullptr;
        prefix = static_cast<uint32_t>(std::strtoul(text.c_str() + slash + 1, &end, 10));
        if (end == text.c_str() + slash + 1 || *end != '\0' || prefix > width) {
            return std::nullopt;
        }
    }
    address.prefix = static_cast<uint8_t>(prefix);
    return address;
}

std::optional<std::array<uint8_t, 6>> parse_mac(const std::string& text) {
    std::array<uint8_t, 6> mac{};
    std::array<unsigned, 6> parts{};
    char behind = 0;
    if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", parts.data(), &parts[1], &parts[2], &parts[3],
                    &parts[4], &parts[5], &behind) != 6) {
        return std::nullopt;
    }
    std::ranges::transform(parts, mac.begin(), [](unsigned part) { return static_cast<uint8_t>(part); });
    return mac;
}

Status put_end(NetlinkRequest& request, const VethEnd& end, uint32_t mtu) {
    if (end.name.empty() || end.name.size() >= IF_NAMESIZE) {
        return bad("'" + end.name + "' is no name for an interface (1 to 15 characters)");
    }
    request.put(IFLA_IFNAME, std::string_view(end.name));
    if (end.where != nullptr) {
        request.put_u32(IFLA_NET_NS_FD, static_cast<uint32_t>(end.where->fd()));
    }
    if (mtu != 0) {
        request.put_u32(IFLA_MTU, mtu);
    }
    if (!end.mac.empty()) {
        const auto mac = parse_mac(end.mac);
        if (!mac) {
            return bad("'" + end.mac + "' is no MAC address");
        }
        request.put(IFLA_ADDRESS, ByteView(*mac));
    }
    return {};
}

/// Changes one attribute of a device.
Status change(const std::string& device, const std::function<void(NetlinkRequest&, ifinfomsg&)>& set) {
    const auto index = interface_index(device, kOp);
    if (!index) {
        return index.error();
    }
    NetlinkRequest request(RTM_NEWLINK, 0);
    auto& header = request.header<ifinfomsg>();
    header.ifi_index = static_cast<int>(*index);
    set(request, header);
    return send(request, device);
}

} // namespace

namespace {

/// An index above all that a namespace has.
Expected<uint32_t> free_index(const std::shared_ptr<NetNs>& where) {
    const NetNsScope scope(where);
    if (!scope.status()) {
        return scope.status().error();
    }
    const auto all = interfaces(kOp);
    if (!all) {
        return all.error();
    }
    uint32_t highest = 0;
    for (const Interface& one : *all) {
        highest = std::max(highest, one.index);
    }
    return highest + 1;
}

} // namespace

Status create_veth(const VethEnd& a, const VethEnd& b, uint32_t mtu) {
    const auto free_a = free_index(a.where);
    const auto free_b = free_index(b.where);
    if (!free_a || !free_b) {
        return free_a ? free_b.error() : free_a.error();
    }
    // Two ends with the same index look like one device to the kernel's link watch, which then takes up to a
    // second to start them (net/core/link_watch.c, linkwatch_urgent_event).
    const auto index = static_cast<int>(std::max(*free_a, *free_b));
    NetlinkRequest request(RTM_NEWLINK, kNew);
    request.header<ifinfomsg>().ifi_index = index;
    if (auto ok = put_end(request, a, mtu); !ok) {
        return ok;
    }
    request.begin_nest(IFLA_LINKINFO).put(IFLA_INFO_KIND, std::string_view("veth"));
    request.begin_nest(IFLA_INFO_DATA).begin_nest(VETH_INFO_PEER);
    request.header<ifinfomsg>().ifi_index = index + 1;
    if (auto ok = put_end(request, b, mtu); !ok) {
        return ok;
    }
    request.end_nest().end_nest().end_nest();
    // Before 6.15 a new device's name has to be free in the namespace of who asks, too: ask from where it
    // goes.
    const NetNsScope inside(a.where);
    if (!inside.status()) {
        return inside.status();
    }
    return send(request, "veth " + a.name + " - " + b.name);
}

Status create_bridge(const std::string& name) {
    NetlinkRequest request(RTM_NEWLINK, kNew);
    request.header<ifinfomsg>();
    request.put(IFLA_IFNAME, std::string_view(name));
    request.begin_nest(IFLA_LINKINFO).put(IFLA_INFO_KIND, std::string_view("bridge")).end_nest();
    return send(request, "bridge " + name);
}

Status set_master(const std::string& device, const std::string& bridge) {
    const auto index = interface_index(bridge, kOp);
    if (!index) {
        return index.error();
    }
    return change(device, [&](NetlinkRequest& request, ifinfomsg&) { request.put_u32(IFLA_MASTER, *index); });
}

Status set_up(const std::string& device, bool up) {
    return change(device, [&](NetlinkRequest&, ifinfomsg& header) {
        header.ifi_change = IFF_UP;
        header.ifi_flags = up ? IFF_UP : 0;
    });
}

Expected<bool> is_running(const std::string& device) {
    const auto index = interface_index(device, kOp);
    auto netlink = Netlink::open(kOp);
    if (!index || !netlink) {
        return index ? netlink.error() : index.error();
    }
    // Since Linux 6.8 this question alone starts the queues.
    NetlinkRequest request(RTM_GETLINK, 0);
    request.header<ifinfomsg>().ifi_index = static_cast<int>(*index);
    bool running = false;
    const auto done = netlink->request(request, device, [&](const nlmsghdr* message) {
        const auto fields = attributes(message, sizeof(ifinfomsg));
        running = fields.size() > IFLA_OPERSTATE && fields[IFLA_OPERSTATE] != nullptr &&
                  mnl_attr_get_u8(fields[IFLA_OPERSTATE]) == IF_OPER_UP;
    });
    return done ? Expected<bool>(running) : Expected<bool>(done.error());
}

Status set_mtu(const std::string& device, uint32_t mtu) {
    return change(device, [&](NetlinkRequest& request, ifinfomsg&) { request.put_u32(IFLA_MTU, mtu); });
}

Status delete_device(const std::string& device) {
    const auto index = interface_index(device, kOp);
    if (!index) {
        return index.error();
    }
    NetlinkRequest request(RTM_DELLINK, 0);
    request.header<ifinfomsg>().ifi_index = static_cast<int>(*index);
    return send(request, device);
}

Status add_address(const std::string& device, const std::string& address) {
    const auto parsed = parse_address(address);
    if (!parsed) {
        return bad("'" + address + "' is no address (10.0.0.1/24, fd00::1/64)");
    }
    const auto index = interface_index(device, kOp);
    if (!index) {
        return index.error();
    }
    NetlinkRequest request(RTM_NEWADDR, kNew);
    auto& header = request.header<ifaddrmsg>();
    header.ifa_family = parsed->family;
    header.ifa_prefixlen = parsed->prefix;
    header.ifa_index = *index;
    header.ifa_flags = parsed->family == AF_INET6 ? IFA_F_NODAD : 0;
    request.put(IFA_LOCAL, ByteView(parsed->bytes)).put(IFA_ADDRESS, ByteView(parsed->bytes));
    return send(request, device + " " + address);
}

Status add_route(const Route& route) {
    const auto gateway = route.via.empty() ? std::nullopt : parse_address(route.via);
    auto to = route.to == "default" ? std::optional<Address>(Address{}) : parse_address(route.to);
    if (!to) {
        return bad("'" + route.to + "' is no destination (default, 10.1.0.0/16, fd00:1::/64)");
    }
    if (!route.via.empty() && !gateway) {
        return bad("'" + route.via + "' is no address of a gateway");
    }
    if (route.via.empty() && route.device.empty()) {
        return bad("a route wants via= or dev=");
    }
    if (route.to == "default") {
        to->family = gateway ? gateway->family : static_cast<uint8_t>(AF_INET);
    }
    NetlinkRequest request(RTM_NEWROUTE, kNew);
    auto& header = request.header<rtmsg>();
    header.rtm_family = to->family;
    header.rtm_dst_len = to->prefix;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_STATIC;
    header.rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    header.rtm_type = RTN_UNICAST;
    if (to->prefix != 0) {
        request.put(RTA_DST, ByteView(to->bytes));
    }
    if (gateway) {
        request.put(RTA_GATEWAY, ByteView(gateway->bytes));
    }
    if (!route.device.empty()) {
        const auto index = interface_index(route.device, kOp);
        if (!index) {
            return index.error();
        }
        request.put_u32(RTA_OIF, *index);
    }
    return send(request, "route to " + route.to);
}

// -- Offloads --

namespace {

struct OffloadRow {
    const char* name;
    uint32_t get;
    uint32_t set;
    uint32_t flag; ///< bit in ETHTOOL_GFLAGS for those that have no command of their own
};
constexpr std::array kOffloads{OffloadRow{"rx", ETHTOOL_GRXCSUM, ETHTOOL_SRXCSUM, 0},
                               OffloadRow{"tx", ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0},
                               OffloadRow{"sg", ETHTOOL_GSG, ETHTOOL_SSG, 0},
                               OffloadRow{"tso", ETHTOOL_GTSO, ETHTOOL_STSO, 0},
                               OffloadRow{"gso", ETHTOOL_GGSO, ETHTOOL_SGSO, 0},
                               OffloadRow{"gro", ETHTOOL_GGRO, ETHTOOL_SGRO, 0},
                               OffloadRow{"lro", ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_LRO}};

Expected<uint32_t> ethtool(const std::string& device, uint32_t command, uint32_t value) {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ethtool_value data{command, value};
    ifreq request{};
    if (!socket.valid() || device.size() >= sizeof request.ifr_name) {
        return errno_error(socket.valid() ? ENODEV : errno, kOp, device);
    }
    std::memcpy(request.ifr_name, device.c_str(), device.size());
    request.ifr_data = reinterpret_cast<char*>(&data);
    if (ioctl(socket.get(), SIOCETHTOOL, &request) != 0) {
        return errno_error(errno, kOp, device);
    }
    return data.data;
}

Expected<const OffloadRow*> find_offload(const std::string& name) {
    const auto* row =
        std::ranges::find_if(kOffloads, [&](const OffloadRow& one) { return name == one.name; });
    return row != kOffloads.end() ? Expected<const OffloadRow*>(row)
                                  : Expected<const OffloadRow*>(bad("no offload '" + name + "'"));
}

} // namespace

const std::vector<std::string>& offload_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const OffloadRow& row : kOffloads) {
            all.emplace_back(row.name);
        }
        return all;
    }();
    return names;
}

Expected<bool> offload(const std::string& device, const std::string& name) {
    const auto row = find_offload(name);
    if (!row) {
        return row.error();
    }
    const auto value = ethtool(device, (*row)->get, 0);
    if (!value) {
        return value.error();
    }
    return (*row)->flag != 0 ? (*value & (*row)->flag) != 0 : *value != 0;
}

Status set_offload(const std::string& device, const std::string& name, bool on) {
    const auto row = find_offload(name);
    if (!row) {
        return row.error();
    }
    uint32_t wanted = on ? 1 : 0;
    if ((*row)->flag != 0) {
        const auto before = ethtool(device, (*row)->get, 0);
        if (!before) {
            return before.error();
        }
        wanted = on ? *before | (*row)->flag : *before & ~(*row)->flag;
    }
    const auto done = ethtool(device, (*row)->set, wanted);
    return done ? Status{} : Status(done.error());
}

} // namespace mimicsh::kernel
