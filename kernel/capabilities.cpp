// SPDX-License-Identifier: MIT
// Effective capabilities by capget(2).
#include "kernel/capabilities.h"

#include <array>
#include <fstream>

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mimicsh::kernel {

namespace {

const char* name(Capability capability) {
    switch (capability) {
    case Capability::NetAdmin:
        return "CAP_NET_ADMIN";
    case Capability::SysAdmin:
        return "CAP_SYS_ADMIN";
    case Capability::Perfmon:
        return "CAP_PERFMON";
    case Capability::Bpf:
        break;
    }
    return "CAP_BPF";
}

bool is_effective(Capability capability) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    if (syscall(SYS_capget, &header, data.data()) != 0) {
        return false;
    }
    const auto number = static_cast<uint32_t>(capability);
    return (data.at(number / 32).effective >> (number % 32) & 1) != 0;
}

/// The one whose capabilities count for all of the machine.
bool is_initial_user_namespace() {
    std::ifstream file("/proc/thread-self/uid_map");
    uint64_t inside = 1;
    uint64_t outside = 1;
    uint64_t count = 0;
    file >> inside >> outside >> count;
    return inside == 0 && outside == 0 && count == UINT32_MAX;
}

std::string listed(const std::vector<Capability>& all) {
    std::string text;
    for (size_t i = 0; i < all.size(); ++i) {
        text += (i == 0 ? "" : i + 1 == all.size() ? " and " : ", ") + std::string(name(all[i]));
    }
    return text;
}

} // namespace

bool has_capability(Capability capability) {
    return is_effective(capability) || is_effective(Capability::SysAdmin);
}

std::string run_with(const std::vector<Capability>& needed) {
    std::vector<Capability> missing;
    for (const Capability one : needed) {
        if (!has_capability(one)) {
            missing.push_back(one);
        }
    }
    std::string note;
    if (missing.empty() && is_initial_user_namespace()) {
        return {};
    }
    if (missing.empty()) {
        note = " on the machine itself, not in a user namespace";
    } else if (missing.size() < needed.size()) {
        note = " (" + listed(missing) + (missing.size() == 1 ? " is" : " are") + " missing)";
    }
    return listed(needed) + note + ": run as root";
}

} // namespace mimicsh::kernel
