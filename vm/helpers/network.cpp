// SPDX-License-Identifier: MIT
// fib_lookup and check_mtu over the scripted interfaces, routes and neighbours (net/core/filter.c).
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/program.h"
#include "vm/world.h"

namespace mimicsh::vm {

namespace {

// -- struct bpf_fib_lookup --

enum FibOffset : uint32_t {
    kFamily = 0,
    kLength = 6, ///< tot_len in, mtu_result out
    kIfindex = 8,
    kMetric = 12,
    kSource = 16,
    kDestination = 32,
    kVlan = 48, ///< tbid in
    kSmac = 52,
    kDmac = 58,
    kFibSize = 64,
};

enum FibFlags : uint32_t { kDirect = 1, kOutput = 2, kSkipNeigh = 4, kTbid = 8, kSrc = 16, kAllFlags = 63 };

/// BPF_FIB_LKUP_RET_*.
enum FibResult : uint32_t {
    kSuccess,
    kBlackhole,
    kUnreachable,
    kProhibit,
    kNotForwarded,
    kForwardingDisabled,
    kUnsupportedTunnel,
    kNoNeighbour,
    kFragNeeded,
    kNoSource,
};

constexpr uint8_t kInet = 2, kInet6 = 10;
constexpr uint32_t kMaxIp4 = 0xffff, kMaxIp6 = 0xffff + 40, kMinIp6 = 1280;

bool is_socket_buffer(const Machine& machine) {
    return machine.code->program->linked().spec.type != abi::ProgType::Xdp;
}

/// Multicast, link-local and loopback addresses, which are never forwarded.
bool needs_strict(const IpAddress& address) {
    IpAddress loopback;
    loopback.v6 = true;
    loopback.bytes[15] = 1;
    return address.bytes[0] == 0xff || (address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80) ||
           address == loopback;
}

bool is_link_local(const IpAddress& address) {
    return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

/// Of an IPv6 unicast address (__ipv6_addr_src_scope, include/net/addrconf.h).
int scope_of(const IpAddress& address) {
    constexpr int kNone = -1;
    constexpr int kLink = 2;
    constexpr int kSite = 5;
    constexpr int kGlobal = 14;
    if (std::ranges::all_of(address.bytes, [](uint8_t byte) { return byte == 0; })) {
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

class FibLookup {
  public:
    FibLookup(Machine& machine, uint8_t* params, uint32_t flags)
        : machine_(machine), world_(machine.world()), params_(params), flags_(flags) {
        v6_ = params[kFamily] == kInet6;
        destination_ = address_at(kDestination);
    }

    uint64_t run(bool check_mtu) {
        if (v6_ && (needs_strict(destination_) || needs_strict(address_at(kSource)))) {
            return kNotForwarded;
        }
        const uint32_t input = number(kIfindex);
        if (!machine_.given(world_.interfaces, "world.interfaces")) {
            return 0;
        }
        const World::Interface* from = world_.find_interface(input);
        if (from == nullptr) {
            return errno_result(-ENODEV);
        }
        if (!from->forwarding) {
            return kForwardingDisabled;
        }
        if (!machine_.given(world_.routes, "world.routes")) {
            return 0;
        }
        const World::Route* route = find_route(input);
        if (route == nullptr) {
            return kNotForwarded;
        }
        switch (route->type) {
        case RouteType::Unicast:
            break;
        case RouteType::Blackhole:
            return kBlackhole;
        case RouteType::Unreachable:
            return kUnreachable;
        case RouteType::Prohibit:
            return kProhibit;
        default:
            return kNotForwarded;
        }
        return forward(*route, check_mtu);
    }

  private:
    [[nodiscard]] uint32_t number(uint32_t offset) const { return mimicsh::load<uint32_t>(params_ + offset); }
    void put(uint32_t offset, uint32_t value) { mimicsh::store<uint32_t>(params_ + offset, value); }

    [[nodiscard]] IpAddress address_at(uint32_t offset) const {
        IpAddress address;
        address.v6 = v6_;
        std::memcpy(address.bytes.data(), params_ + offset, address.size());
        return address;
    }
    void put_address(uint32_t offset, const IpAddress& address) {
        std::memcpy(params_ + offset, address.bytes.data(), address.size());
    }

    /// Best route of a table. IPv4's local and main table are one as long as there are no rules of one's own.
    const World::Route* best_in(uint32_t table, uint32_t input) const {
        const World::Route* best = nullptr;
        const auto rank = [&](const World::Route& route) {
            // Longest prefix, then the local table's, then the lowest metric; IPv6 prefers the input
            // interface.
            return std::array<int64_t, 4>{route.to.length, v6_ ? 0 : route.table, -int64_t{route.metric},
                                          v6_ && route.interface == input ? 1 : 0};
        };
        const auto merged = [](uint32_t id) { return id == World::kLocalTable ? World::kMainTable : id; };
        for (const World::Route& route : *world_.routes) {
            const bool same_table = v6_ ? route.table == table : merged(route.table) == merged(table);
            const bool wrong_output =
                !v6_ && (flags_ & kOutput) != 0 && route.interface != 0 && route.interface != input;
            if (same_table && !wrong_output && route.to.contains(destination_) &&
                (best == nullptr || rank(route) > rank(*best))) {
                best = &route;
            }
        }
        return best;
    }

    const World::Route* find_route(uint32_t input) {
        if ((flags_ & kDirect) != 0) {
            uint32_t table = World::kMainTable;
            if ((flags_ & kTbid) != 0) {
                const auto asked = number(kVlan);
                table = asked != 0 ? asked : table; // fib_get_table(): 0 is the main table's other name
                put(kVlan, 0);
            }
            return best_in(table, input);
        }
        constexpr uint32_t kDefaultTable = 253;
        for (const uint32_t table : {World::kLocalTable, World::kMainTable, kDefaultTable}) {
            const World::Route* route = best_in(table, input);
            if (route != nullptr && route->type != RouteType::Throw) {
                return route;
            }
        }
        return nullptr;
    }

    uint64_t forward(const World::Route& route, bool check_mtu) {
        const World::Interface& out = *world_.find_interface(route.interface);
        uint32_t mtu = 0;
        if (check_mtu) {
            if (route.mtu == 0 && !machine_.given(out.mtu, out.path + ".mtu")) {
                return 0;
            }
            mtu = route.mtu != 0 ? route.mtu
                  : v6_          ? std::min(std::max(*out.mtu, kMinIp6), kMaxIp6)
                                 : std::min(*out.mtu, kMaxIp4);
            if (mimicsh::load<uint16_t>(params_ + kLength) > mtu) {
                mimicsh::store<uint16_t>(params_ + kLength, static_cast<uint16_t>(mtu));
                return kFragNeeded;
            }
        }
        if (route.encap) {
            return kUnsupportedTunnel;
        }
        put(kMetric, route.metric);
        put(kIfindex, out.index);
        if ((flags_ & kSrc) != 0) {
            if (const uint64_t refused = choose_source(route, out); refused != 0 || machine_.faulted()) {
                return refused;
            }
        }
        IpAddress next = destination_;
        if (route.via) {
            next = *route.via;
            if (next.v6 && !v6_) {
                params_[kFamily] = kInet6;
            }
            put_address(kDestination, next);
        }
        if ((flags_ & kSkipNeigh) == 0 && !find_neighbour(out, next)) {
            return machine_.faulted() ? kSuccess : kNoNeighbour;
        }
        put(kVlan, 0);
        if (mtu != 0) {
            mimicsh::store<uint16_t>(params_ + kLength, static_cast<uint16_t>(mtu));
        }
        return kSuccess;
    }

    bool find_neighbour(const World::Interface& out, const IpAddress& next) {
        if (!machine_.given(world_.neighbours, "world.neighbours")) {
            return false;
        }
        for (const World::Neighbour& one : *world_.neighbours) {
            if (one.interface == out.index && one.address == next) {
                if (!machine_.given(out.mac, out.path + ".mac")) {
                    return false;
                }
                std::copy(one.mac.begin(), one.mac.end(), params_ + kDmac);
                std::copy(out.mac->begin(), out.mac->end(), params_ + kSmac);
                return true;
            }
        }
        return false;
    }

    uint64_t choose_source(const World::Route& route, const World::Interface& out) {
        if (route.source) {
            put_address(kSource, *route.source);
            return kSuccess;
        }
        if (!machine_.given(out.addresses, out.path + ".addresses")) {
            return 0;
        }
        const IpPrefix* best = best_source(out, route);
        for (const World::Interface& other : *world_.interfaces) {
            if (best == nullptr && other.addresses) {
                best = best_source(other, route);
            }
        }
        if (best == nullptr && v6_) {
            return kNoSource;
        }
        IpAddress none;
        put_address(kSource, best == nullptr ? none : best->address);
        return kSuccess;
    }

    const IpPrefix* best_source(const World::Interface& owner, const World::Route& route) const {
        const IpPrefix* best = nullptr;
        for (const IpPrefix& one : *owner.addresses) {
            if (one.address.v6 != v6_ || (v6_ ? needs_strict(one.address) && !is_link_local(one.address)
                                              : one.address.bytes[0] == 127)) {
                continue;
            }
            if (v6_) {
                // The smallest scope that is not below the destination's, else the greatest below it; then
                // the most bits in common (ipv6_get_saddr_eval, net/ipv6/addrconf.c).
                const auto rank = [&](const IpPrefix& it) {
                    const int scope = scope_of(it.address);
                    return std::pair(scope >= scope_of(destination_) ? -scope : scope - 128,
                                     common_bits(it.address, destination_));
                };
                best = best == nullptr || rank(one) > rank(*best) ? &one : best;
                continue;
            }
            // The first address whose network has the gateway, else the first.
            if (!route.via || one.contains(*route.via)) {
                return &one;
            }
            best = best == nullptr ? &one : best;
        }
        return best;
    }

    Machine& machine_;
    const World& world_;
    uint8_t* params_;
    uint32_t flags_;
    bool v6_ = false;
    IpAddress destination_;
};

/// Where is_skb_forwardable and check_mtu draw the line: an Ethernet header is counted for every interface.
constexpr uint32_t kVlanHeader = 4;

uint32_t buffer_length(const Machine& machine) {
    return mimicsh::load<uint32_t>(machine.context_image.data() + kSkbLen);
}

/// Without tot_len a socket buffer's own length is held against the interface that was found.
uint64_t check_buffer(Machine& machine, uint8_t* params, uint64_t result) {
    const World::Interface& out = *machine.world().find_interface(mimicsh::load<uint32_t>(params + kIfindex));
    if (!machine.given(out.mtu, out.path + ".mtu")) {
        return 0;
    }
    const uint32_t gso = mimicsh::load<uint32_t>(machine.context_image.data() + kSkbGsoSize);
    if (gso == 0 && buffer_length(machine) > *out.mtu + kEthHeader + kVlanHeader) {
        result = kFragNeeded;
    }
    mimicsh::store<uint16_t>(params + kLength, static_cast<uint16_t>(*out.mtu));
    return result;
}

} // namespace

uint64_t helper_fib_lookup(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[2]);
    const auto flags = static_cast<uint32_t>(args[3]);
    uint8_t* params = machine.span(args[1], size, Access::Read, "lookup");
    params = params == nullptr ? nullptr : machine.span(args[1], size, Access::Write, "lookup");
    if (params == nullptr) {
        return 0;
    }
    if (size < kFibSize || (flags & ~uint32_t{kAllFlags}) != 0) {
        return errno_result(-EINVAL);
    }
    if (params[kFamily] != kInet && params[kFamily] != kInet6) {
        return errno_result(-EAFNOSUPPORT);
    }
    const bool check_mtu = !is_socket_buffer(machine) || mimicsh::load<uint16_t>(params + kLength) != 0;
    const uint64_t result = FibLookup(machine, params, flags).run(check_mtu);
    return result == kSuccess && !check_mtu && !machine.faulted() ? check_buffer(machine, params, result)
                                                                  : result;
}

uint64_t helper_check_mtu(Machine& machine, const uint64_t* args) {
    constexpr uint64_t kSegments = 1; // BPF_MTU_CHK_SEGS
    constexpr uint64_t kMtuFragNeeded = 1, kMtuSegsTooBig = 2;
    uint8_t* length = machine.span(args[2], 4, Access::Read, "MTU");
    length = length == nullptr ? nullptr : machine.span(args[2], 4, Access::Write, "MTU");
    if (length == nullptr) {
        return 0;
    }
    const auto given = mimicsh::load<uint32_t>(length);
    const auto difference = static_cast<int32_t>(args[3]);
    const bool buffer = is_socket_buffer(machine);
    if ((args[4] & ~(buffer ? kSegments : 0)) != 0 || (args[4] != 0 && (difference != 0 || given != 0))) {
        return errno_result(-EINVAL);
    }
    const World& world = machine.world();
    const auto wanted = static_cast<uint32_t>(args[1]);
    if (!machine.given(world.interfaces, "world.interfaces")) {
        return 0;
    }
    const World::Interface* device = world.find_interface(wanted != 0 ? wanted : machine.device_index());
    if (device == nullptr) {
        return errno_result(-ENODEV);
    }
    if (!machine.given(device->mtu, device->path + ".mtu")) {
        return 0;
    }
    const uint32_t mtu = *device->mtu;
    const uint32_t own = buffer ? buffer_length(machine) : machine.packet.end - machine.packet.start;
    const auto packet =
        static_cast<int32_t>((given != 0 ? given + kEthHeader : own) + static_cast<uint32_t>(difference));
    mimicsh::store<uint32_t>(length, mtu);
    if (packet <= static_cast<int32_t>(mtu + kEthHeader)) {
        return 0;
    }
    const auto gso = mimicsh::load<uint32_t>(machine.context_image.data() + kSkbGsoSize);
    if (buffer && gso != 0) {
        return (args[4] & kSegments) != 0 && gso > mtu ? kMtuSegsTooBig : 0;
    }
    return kMtuFragNeeded;
}

} // namespace mimicsh::vm
