// SPDX-License-Identifier: MIT
// fib_lookup and check_mtu over the scripted interfaces, routes and neighbours (net/core/filter.c).
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/helpers/routes.h"
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

class FibLookup {
  public:
    FibLookup(Machine& machine, uint8_t* params, uint32_t flags)
        : machine_(machine), world_(machine.world()), params_(params), flags_(flags) {
        v6_ = params[kFamily] == kInet6;
        destination_ = address_at(kDestination);
    }

    uint64_t run(bool check_mtu) {
        if (v6_ && (is_strict(destination_) || is_strict(address_at(kSource)))) {
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

    const World::Route* find_route(uint32_t input) {
        if ((flags_ & kDirect) != 0) {
            uint32_t table = World::kMainTable;
            if ((flags_ & kTbid) != 0) {
                const auto asked = number(kVlan);
                table = asked != 0 ? asked : table; // fib_get_table(): 0 is the main table's other name
                put(kVlan, 0);
            }
            return best_route(world_, table, {destination_, input, (flags_ & kOutput) != 0});
        }
        return route_to(world_, {destination_, input, (flags_ & kOutput) != 0});
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
        const World::Neighbour* found = neighbour_of(world_, out.index, next);
        if (found == nullptr || !machine_.given(out.mac, out.path + ".mac")) {
            return false;
        }
        std::copy(found->mac.begin(), found->mac.end(), params_ + kDmac);
        std::copy(out.mac->begin(), out.mac->end(), params_ + kSmac);
        return true;
    }

    uint64_t choose_source(const World::Route& route, const World::Interface& out) {
        if (route.source) {
            put_address(kSource, *route.source);
            return kSuccess;
        }
        if (!machine_.given(out.addresses, out.path + ".addresses")) {
            return 0;
        }
        const IpPrefix* best = source_address(world_, &out, destination_, route.via);
        if (best == nullptr && v6_) {
            return kNoSource;
        }
        IpAddress none;
        put_address(kSource, best == nullptr ? none : best->address);
        return kSuccess;
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
