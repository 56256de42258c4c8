// SPDX-License-Identifier: MIT
// Questions about devices by ioctl, in the network namespace of a socket.
#include "net/device.h"

#include <cerrno>

#include <net/if.h>
#include <sys/ioctl.h>

namespace mimicsh::net {

namespace {

ifreq request(const std::string& device) {
    ifreq asked{};
    device.copy(asked.ifr_name, sizeof asked.ifr_name - 1);
    return asked;
}

} // namespace

Status check_device(int socket, const std::string& device, const std::string& op) {
    ifreq asked = request(device);
    if (ioctl(socket, SIOCGIFFLAGS, &asked) != 0) {
        return Error{ENODEV, op, device + ": the interface is gone", {}, {}};
    }
    if ((asked.ifr_flags & IFF_UP) == 0) {
        return Error{ENETDOWN, op, device + ": the interface is down", {}, {}};
    }
    return {};
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
