// SPDX-License-Identifier: MIT
// Routes by prefix and metric, source addresses by scope (net/ipv4/fib_trie.c, net/ipv6/route.c,
// net/ipv6/addrconf.c).
#include "vm/helpers/routes.h"

#include <algorithm>

namespace mimicsh::vm {

namespace {

bool is_link_local(const IpAddress& address) {
    return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

/// Of an IPv6 unicast address (__ipv6_addr_src_scope, include/net/addrconf.h).
int scope_of(const IpAddress& address) {
    constexpr int kNone = -1;
    constexpr int kLink = 2;
    constexpr int kSite = 5;
    constexpr int kGlobal = 14;
    if (address.is_any()) {
        return kNone;
    }
    const bool is_site_local = address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0xc0;
    return is_link_local(address) ? kLink : is_site_local ? kSite : kGlobal;
}

uint32_t common_bits(const IpAddress& a, const IpAddress& b) {
    uint32_t bits = 0;
    while (bits < a.size() * 8 && ((a.bytes[bits / 8] ^ b.bytes[bits / 8]) >> (7 - bits % 8) & 1) == 0) {
        ++bits;
    }
    return bits;
}

/// The policy's number of an address (ip6addrlbl_init_table, net/ipv6/addrlabel.c; RFC 6724 section 2.1).
uint32_t label_of(const IpAddress& address) {
    struct Row {
        std::array<uint8_t, 16> bytes;
        uint32_t length, label;
    };
    static constexpr Row kRows[] = {
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 0},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 4},
        {{}, 96, 3},
        {{0x20, 0x01}, 32, 6},
        {{0x20, 0x01, 0, 0x10}, 28, 7},
        {{0x20, 0x02}, 16, 2},
        {{0x3f, 0xfe}, 16, 12},
        {{0xfe, 0xc0}, 10, 11},
        {{0xfc}, 7, 5},
    };
    for (const Row& row : kRows) {
        if (IpPrefix{{true, row.bytes}, row.length}.contains(address)) {
            return row.label;
        }
    }
    return 1;
}

/// Overlay routable hash identifiers, 2001:10::/28 (RFC 4843).
bool is_orchid(const IpAddress& address) {
    return IpPrefix{{true, {0x20, 0x01, 0, 0x10}}, 28}.contains(address);
}

/// ipv6_dev_get_saddr: the destination itself; the smallest scope that is not below its, else the greatest
/// below it; then the outgoing interface, the same label, both or neither a hash identifier, the most bits
/// in common. Of equal ones the first, in the order of `ip address`.
const IpPrefix* source_address6(const World& world, const World::Interface* out,
                                const IpAddress& destination) {
    const int wanted = scope_of(destination);
    const bool own_alone = destination.bytes[0] == 0xff || is_link_local(destination);
    const IpPrefix* best = nullptr;
    std::array<int64_t, 6> best_rank{};
    for (const World::Interface& owner : *world.interfaces) {
        if (!owner.addresses || (own_alone && &owner != out)) {
            continue;
        }
        for (const IpPrefix& one : *owner.addresses) {
            if (!one.address.v6 || (is_strict(one.address) && !is_link_local(one.address))) {
                continue;
            }
            const int scope = scope_of(one.address);
            const std::array<int64_t, 6> rank{one.address == destination ? 1 : 0,
                                              scope >= wanted ? -scope : scope - 128,
                                              &owner == out ? 1 : 0,
                                              label_of(one.address) == label_of(destination) ? 1 : 0,
                                              is_orchid(one.address) == is_orchid(destination) ? 1 : 0,
                                              std::min(one.length, common_bits(one.address, destination))};
            if (best == nullptr || rank > best_rank) {
                best = &one;
                best_rank = rank;
            }
        }
    }
    return best;
}

/// The first of the interface's addresses whose network has the gateway, else the first (inet_select_addr).
const IpPrefix* source_address4(const World::Interface& owner, const std::optional<IpAddress>& gateway) {
    const IpPrefix* best = nullptr;
    for (const IpPrefix& one : *owner.addresses) {
        if (one.address.v6 || one.address.bytes[0] == 127) {
            continue;
        }
        if (!gateway || one.contains(*gateway)) {
            return &one;
        }
        best = best == nullptr ? &one : best;
    }
    return best;
}

} // namespace

bool is_strict(const IpAddress& address) {
    IpAddress loopback;
    loopback.v6 = true;
    loopback.bytes[15] = 1;
    return address.bytes[0] == 0xff || is_link_local(address) || address == loopback;
}

const World::Route* best_route(const World& world, uint32_t table, const RouteQuery& query) {
    const bool v6 = query.destination.v6;
    const bool strict = v6 && is_strict(query.destination);
    const World::Route* best = nullptr;
    const auto rank = [&](const World::Route& route) {
        // Longest prefix, then the local table's, then the lowest metric; IPv6 prefers the input interface.
        return std::array<int64_t, 4>{route.to.length, v6 ? 0 : route.table, -int64_t{route.metric},
                                      v6 && route.interface == query.input ? 1 : 0};
    };
    // IPv4's local and main table are one as long as there are no rules of one's own.
    const auto merged = [](uint32_t id) { return id == World::kLocalTable ? World::kMainTable : id; };
    for (const World::Route& route : *world.routes) {
        const bool same_table = v6 ? route.table == table : merged(route.table) == merged(table);
        const bool bound = strict || (!v6 && query.output && route.interface != 0);
        if (same_table && (!bound || route.interface == query.input) &&
            route.to.contains(query.destination) && (best == nullptr || rank(route) > rank(*best))) {
            best = &route;
        }
    }
    return best;
}

const World::Route* route_to(const World& world, const RouteQuery& query) {
    constexpr uint32_t kDefaultTable = 253;
    for (const uint32_t table : {World::kLocalTable, World::kMainTable, kDefaultTable}) {
        const World::Route* route = best_route(world, table, query);
        if (route != nullptr && route->type != RouteType::Throw) {
            return route;
        }
    }
    return nullptr;
}

const World::Neighbour* neighbour_of(const World& world, uint32_t interface, const IpAddress& address) {
    if (!world.neighbours) {
        return nullptr;
    }
    const auto found = std::ranges::find_if(*world.neighbours, [&](const World::Neighbour& one) {
        return one.interface == interface && one.address == address;
    });
    return found == world.neighbours->end() ? nullptr : &*found;
}

const IpPrefix* source_address(const World& world, const World::Interface* out, const IpAddress& destination,
                               const std::optional<IpAddress>& gateway) {
    if (destination.v6) {
        return source_address6(world, out, destination);
    }
    const IpPrefix* best = out == nullptr ? nullptr : source_address4(*out, gateway);
    for (const World::Interface& other : *world.interfaces) {
        if (best == nullptr && other.addresses) {
            best = source_address4(other, gateway);
        }
    }
    return best;
}

} // namespace mimicsh::vm
