// SPDX-License-Identifier: MIT
// Which of the world's routes a packet takes, and which address it leaves with.
#pragma once

#include "vm/world.h"

namespace mimicsh::vm {

/// What is asked of the routes.
struct RouteQuery {
    IpAddress destination;
    uint32_t input = 0;  ///< index of the interface the packet came in by
    bool output = false; ///< IPv4: by that interface it is to leave
};

/// Multicast, link-local and loopback addresses of IPv6, which are never forwarded.
[[nodiscard]] bool is_strict(const IpAddress& address);

/// The best route of one table, of whatever type; null when none fits. `world.routes` is given.
[[nodiscard]] const World::Route* best_route(const World& world, uint32_t table, const RouteQuery& query);

/// The best route by the rules that every namespace begins with: local, main and default table in turn
/// (fib_default_rules_init, fib6_rules_net_init). Routes of type throw lead to the next table.
[[nodiscard]] const World::Route* route_to(const World& world, const RouteQuery& query);

/// The world's neighbour with an address on an interface; null when it has none or no list of them.
[[nodiscard]] const World::Neighbour* neighbour_of(const World& world, uint32_t interface,
                                                   const IpAddress& address);

/// The address that a packet to `destination` leaves `out` with (inet_select_addr, ipv6_dev_get_saddr): null
/// when there is none. `world.interfaces` and the addresses of `out` are given; `out` may be null, for any
/// interface's.
[[nodiscard]] const IpPrefix* source_address(const World& world, const World::Interface* out,
                                             const IpAddress& destination,
                                             const std::optional<IpAddress>& gateway);

} // namespace mimicsh::vm
