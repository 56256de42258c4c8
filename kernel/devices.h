// SPDX-License-Identifier: MIT
// Network devices of labs: made, joined and addressed by netlink. Everything acts in the network namespace of
// the calling thread (NetNsScope) unless a parameter says otherwise.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/netns.h"

namespace mimicsh::kernel {

struct VethEnd {
    std::shared_ptr<NetNs> where;
    std::string name; ///< at most 15 characters
    std::string mac;  ///< "02:..."; empty = the kernel's choice
};

/// Two ends of a wire, each in its namespace, down. `mtu` 0 = the kernel's choice (1500).
[[nodiscard]] Status create_veth(const VethEnd& a, const VethEnd& b, uint32_t mtu);
[[nodiscard]] Status create_bridge(const std::string& name);
/// Makes a device a port of a bridge.
[[nodiscard]] Status set_master(const std::string& device, const std::string& bridge);
[[nodiscard]] Status set_up(const std::string& device, bool up);
/// Whether a device passes packets: one that was set up begins to a moment later, and loses them until then.
[[nodiscard]] Expected<bool> is_running(const std::string& device);
[[nodiscard]] Status set_mtu(const std::string& device, uint32_t mtu);
[[nodiscard]] Status delete_device(const std::string& device);
/// "10.0.0.1/24" or "fd00::1/64"; an IPv6 address is usable at once (no duplicate address detection).
[[nodiscard]] Status add_address(const std::string& device, const std::string& address);

struct Route {
    std::string to;     ///< "default", "10.1.0.0/16", "fd00:1::/64"
    std::string via;    ///< gateway; empty = on the link
    std::string device; ///< empty = by the gateway
};
[[nodiscard]] Status add_route(const Route& route);

/// Names of the offloads that `set_offload` knows: "rx", "tx", "sg", "tso", "gso", "gro", "lro".
[[nodiscard]] const std::vector<std::string>& offload_names();
[[nodiscard]] Status set_offload(const std::string& device, const std::string& offload, bool on);
[[nodiscard]] Expected<bool> offload(const std::string& device, const std::string& name);

} // namespace mimicsh::kernel
