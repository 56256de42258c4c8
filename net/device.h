// SPDX-License-Identifier: MIT
// What a socket's network namespace says about a device. The calling thread's may be another one.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace mimicsh::net {

/// ENODEV when the device is gone, ENETDOWN when it is down.
[[nodiscard]] Status check_device(int socket, const std::string& device, const std::string& op);
/// 0 when the device is gone.
[[nodiscard]] uint32_t device_mtu(int socket, const std::string& device);
/// EMSGSIZE about a packet of so many bytes.
[[nodiscard]] Error too_long(const std::string& device, size_t size, uint32_t mtu, const std::string& op);

} // namespace mimicsh::net
