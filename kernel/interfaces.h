// SPDX-License-Identifier: MIT
// Interfaces of the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace mimicsh::kernel {

struct Interface {
    std::string name;
    uint32_t index = 0;
};

[[nodiscard]] Expected<std::vector<Interface>> interfaces(const std::string& op);
/// Index of an interface; ENODEV with its name otherwise.
[[nodiscard]] Expected<uint32_t> interface_index(const std::string& device, const std::string& op);
/// What the device has counted as sent.
[[nodiscard]] Expected<uint64_t> packets_sent(const std::string& device, const std::string& op);
[[nodiscard]] std::optional<uint32_t> interface_mtu(const std::string& device);

} // namespace mimicsh::kernel
