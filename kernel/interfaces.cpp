// SPDX-License-Identifier: MIT
// Interfaces by name and index.
#include "kernel/interfaces.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kernel/netlink.h"

namespace mimicsh::kernel {

Expected<std::vector<Interface>> interfaces(const std::string& op) {
    struct if_nameindex* all = if_nameindex();
    if (all == nullptr) {
        return errno_error(errno, op, "interfaces");
    }
    std::vector<Interface> found;
    for (const struct if_nameindex* one = all; one->if_index != 0; ++one) {
        found.push_back({one->if_name, one->if_index});
    }
    if_freenameindex(all);
    return found;
}

Expected<uint32_t> interface_index(const std::string& device, const std::string& op) {
    const uint32_t index = if_nametoindex(device.c_str());
    if (index == 0) {
        return Error{ENODEV,
                     op,
                     device + ": no such interface",
                     "names are those of the network namespace that the call runs in",
                     {}};
    }
    return index;
}

Expected<uint64_t> packets_sent(const std::string& device, const std::string& op) {
    const auto index = interface_index(device, op);
    auto netlink = Netlink::open(op);
    if (!index || !netlink) {
        return index ? netlink.error() : index.error();
    }
    NetlinkRequest request(RTM_GETLINK, 0);
    request.header<ifinfomsg>().ifi_index = static_cast<int>(*index);
    uint64_t sent = 0;
    const auto done = netlink->request(request, device, [&](const nlmsghdr* message) {
        const auto fields = attributes(message, sizeof(ifinfomsg));
        if (fields.size() > IFLA_STATS64 && fields[IFLA_STATS64] != nullptr) {
            rtnl_link_stats64 stats{};
            const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(fields[IFLA_STATS64]));
            std::memcpy(&stats, bytes,
                        std::min<size_t>(sizeof stats, mnl_attr_get_payload_len(fields[IFLA_STATS64])));
            sent = stats.tx_packets;
        }
    });
    return done ? Expected<uint64_t>(sent) : Expected<uint64_t>(done.error());
}

std::optional<uint32_t> interface_mtu(const std::string& device) {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    if (device.size() >= sizeof request.ifr_name) {
        return std::nullopt;
    }
    std::memcpy(request.ifr_name, device.c_str(), device.size());
    if (ioctl(socket.get(), SIOCGIFMTU, &request) != 0) {
        return std::nullopt;
    }
    return static_cast<uint32_t>(request.ifr_mtu);
}

} // namespace mimicsh::kernel
