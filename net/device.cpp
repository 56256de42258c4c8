// SPDX-License-Identifier: MIT
// Questions about devices by ioctl, in the network namespace of a socket.
#include "net/device.h"

#include <cerrno>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

namespace mimicsh::net {

namespace {

ifreq request(const std::string& device) {
    ifreq asked{};
    device.copy(asked.ifr_name, sizeof asked.ifr_name - 1);
    return asked;
}

/// Waits for whoever is changing devices: a device that is being removed goes down first, and is still there
/// then.
void settle(int socket, const std::string& device) {
    ethtool_value value{ETHTOOL_GLINK, 0};
    ifreq asked = request(device);
    asked.ifr_data = reinterpret_cast<char*>(&value);
    (void)ioctl(socket, SIOCETHTOOL, &asked); // takes the lock that changes hold
}

} // namespace

Status check_device(int socket, const std::string& device, const std::string& op) {
    ifreq asked = request(device);
    if (ioctl(socket, SIOCGIFFLAGS, &asked) == 0 && (asked.ifr_flags & IFF_UP) != 0) {
        return {};
    }
    settle(socket, device);
    if (ioctl(socket, SIOCGIFFLAGS, &asked) != 0) {
        return Error{ENODEV, op, device + ": the interface is gone", {}, {}};
    }
    return Error{ENETDOWN, op, device + ": the interface is down", {}, {}};
}

uint32_t device_mtu(int socket, const std::string& device) {
    ifreq asked = request(device);
    return ioctl(socket, SIOCGIFMTU, &asked) == 0 ? static_cast<uint32_t>(asked.ifr_mtu) : 0;
}

Error too_long(const std::string& device, size_t size, uint32_t mtu, const std::string& op) {
    return Error{EMSGSIZE,
                 op,
                 device + ": a packet of " + std::to_string(size) + " bytes is too long for the MTU of " +
                     std::to_string(mtu),
                 {},
                 {}};
}

} // namespace mimicsh::net
