// SPDX-License-Identifier: MIT
// Tunnel metadata and IPsec history of socket buffers (net/core/filter.c).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/skb_call.h"

namespace mimicsh::vm {

namespace {

/// Offsets in struct bpf_tunnel_key.
enum KeyOffset : uint32_t {
    kId = 0,
    kRemote = 4,
    kTos = 20,
    kTtl = 21,
    kFlags = 22,
    kLabel = 24,
    kLocal = 28,
    kKeySize = 44,
};
/// Sizes that the struct had before it grew; the first one has room for an IPv4 address only.
constexpr uint32_t kFirstSize = 8, kOldSizes[] = {kFirstSize, kFlags, kLabel, kLocal};

/// TUNNEL_* bits (include/net/ip_tunnels.h).
constexpr uint16_t kTunnelCsum = 1 << 0, kTunnelKey = 1 << 2, kTunnelSeq = 1 << 3,
                   kTunnelDontFragment = 1 << 8, kTunnelGeneve = 1 << 11, kTunnelVxlan = 1 << 12,
                   kTunnelNoCache = 1 << 13, kTunnelErspan = 1 << 14, kTunnelGtp = 1 << 15;
constexpr uint16_t kTunnelOptions = kTunnelGeneve | kTunnelVxlan | kTunnelErspan | kTunnelGtp;

constexpr uint64_t kUseIp6 = 1;

bool is_old_size(uint32_t size) {
    return std::ranges::find(kOldSizes, size) != std::end(kOldSizes);
}

/// IPv4 addresses are in host order there, IPv6 ones in network order.
void put_address(uint8_t* at, const std::array<uint8_t, 16>& address, bool v6) {
    if (v6) {
        std::ranges::copy(address, at);
    } else {
        mimicsh::store(at, load_be<uint32_t>(address.data()));
    }
}

std::array<uint8_t, 16> get_address(const uint8_t* at, bool v6) {
    std::array<uint8_t, 16> address{};
    if (v6) {
        std::copy_n(at, address.size(), address.begin());
    } else {
        store_be(address.data(), mimicsh::load<uint32_t>(at));
    }
    return address;
}

/// Why the key cannot be given, 0 when it can.
int64_t key_refusal(const std::optional<Tunnel>& tunnel, uint32_t size, uint64_t flags) {
    constexpr uint64_t kWithFlags = 1 << 4;
    if (!tunnel || (flags & ~(kUseIp6 | kWithFlags)) != 0) {
        return -EINVAL;
    }
    if (tunnel->v6 != ((flags & kUseIp6) != 0)) {
        return -EPROTO;
    }
    const bool fits = size == kKeySize || (is_old_size(size) && !(size == kFirstSize && tunnel->v6));
    return fits ? 0 : -EINVAL;
}

} // namespace

uint64_t helper_skb_get_tunnel_key(Machine& machine, const uint64_t* args) {
    constexpr uint64_t kWithFlags = 1 << 4;
    SkbCall call(machine, args, "bpf_skb_get_tunnel_key");
    const auto size = static_cast<uint32_t>(args[2]);
    uint8_t* out = call.good() ? machine.span(args[1], size, Access::Write, "tunnel key") : nullptr;
    if (out == nullptr) {
        return 0;
    }
    if (const int64_t bad = key_refusal(machine.tunnel, size, args[3]); bad != 0) {
        std::fill_n(out, size, uint8_t{0});
        return call.done(bad);
    }
    const Tunnel& tunnel = *machine.tunnel;
    std::array<uint8_t, kKeySize> key{};
    mimicsh::store(key.data() + kId, static_cast<uint32_t>(tunnel.id));
    put_address(key.data() + kRemote, tunnel.source, tunnel.v6);
    put_address(key.data() + kLocal, tunnel.destination, tunnel.v6);
    key[kTos] = tunnel.tos;
    key[kTtl] = tunnel.ttl;
    if ((args[3] & kWithFlags) != 0) {
        store_be(key.data() + kFlags, tunnel.flags);
    }
    mimicsh::store(key.data() + kLabel, tunnel.v6 ? tunnel.label : 0);
    std::copy_n(key.begin(), size, out);
    return call.done(0);
}

uint64_t helper_skb_set_tunnel_key(Machine& machine, const uint64_t* args) {
    constexpr uint64_t kZeroCsum = 1 << 1, kDontFragment = 1 << 2, kSequence = 1 << 3, kNoKey = 1 << 4;
    constexpr uint32_t kLabelMask = 0xfffff;
    SkbCall call(machine, args, "bpf_skb_set_tunnel_key");
    const auto size = static_cast<uint32_t>(args[2]);
    const uint64_t flags = args[3];
    const uint8_t* from = call.good() ? machine.span(args[1], size, Access::Read, "tunnel key") : nullptr;
    if (from == nullptr) {
        return 0;
    }
    if ((flags & ~(kUseIp6 | kZeroCsum | kDontFragment | kSequence | kNoKey)) != 0 ||
        (size != kKeySize && !is_old_size(size))) {
        return call.done(-EINVAL);
    }
    std::array<uint8_t, kKeySize> key{};
    std::copy_n(from, size, key.begin());
    const bool v6 = (flags & kUseIp6) != 0;
    const auto label = mimicsh::load<uint32_t>(key.data() + kLabel);
    if ((!v6 && label != 0) || mimicsh::load<uint16_t>(key.data() + kFlags) != 0) {
        return call.done(-EINVAL);
    }
    Tunnel tunnel;
    tunnel.is_set = true;
    tunnel.id = mimicsh::load<uint32_t>(key.data() + kId);
    tunnel.v6 = v6;
    tunnel.destination = get_address(key.data() + kRemote, v6);
    tunnel.source = get_address(key.data() + kLocal, v6);
    tunnel.tos = key[kTos];
    tunnel.ttl = key[kTtl];
    tunnel.label = v6 ? label & kLabelMask : 0;
    tunnel.flags = static_cast<uint16_t>(
        kTunnelNoCache | ((flags & kDontFragment) != 0 ? kTunnelDontFragment : 0) |
        ((flags & kZeroCsum) != 0 ? 0 : kTunnelCsum) | ((flags & kSequence) != 0 ? kTunnelSeq : 0) |
        ((flags & kNoKey) != 0 ? 0 : kTunnelKey));
    machine.tunnel = std::move(tunnel);
    return call.done(0);
}

uint64_t helper_skb_get_tunnel_opt(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_skb_get_tunnel_opt");
    const auto size = static_cast<uint32_t>(args[2]);
    uint8_t* out = call.good() ? machine.span(args[1], size, Access::Write, "tunnel options") : nullptr;
    if (out == nullptr) {
        return 0;
    }
    std::fill_n(out, size, uint8_t{0});
    if (!machine.tunnel || machine.tunnel->options.empty()) {
        return call.done(-ENOENT);
    }
    const ByteVec& options = machine.tunnel->options;
    if (size < options.size()) {
        return call.done(-ENOMEM);
    }
    std::ranges::copy(options, out);
    return call.done(static_cast<int64_t>(options.size()));
}

uint64_t helper_skb_set_tunnel_opt(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kMaxOptions = 255; // IP_TUNNEL_OPTS_MAX
    SkbCall call(machine, args, "bpf_skb_set_tunnel_opt");
    const auto size = static_cast<uint32_t>(args[2]);
    const uint8_t* from = call.good() ? machine.span(args[1], size, Access::Read, "tunnel options") : nullptr;
    if (from == nullptr) {
        return 0;
    }
    // Only metadata that bpf_skb_set_tunnel_key made takes options.
    if (!machine.tunnel || !machine.tunnel->is_set || size % 4 != 0) {
        return call.done(-EINVAL);
    }
    if (size > kMaxOptions) {
        return call.done(-ENOMEM);
    }
    machine.tunnel->options.assign(from, from + size);
    machine.tunnel->flags |= kTunnelOptions;
    return call.done(0);
}

uint64_t helper_skb_get_xfrm_state(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kStateSize = 28; // struct bpf_xfrm_state
    constexpr uint16_t kInet = 2, kInet6 = 10;
    SkbCall call(machine, args, "bpf_skb_get_xfrm_state");
    const auto index = static_cast<uint32_t>(args[1]);
    const auto size = static_cast<uint32_t>(args[3]);
    uint8_t* out = call.good() ? machine.span(args[2], size, Access::Write, "state") : nullptr;
    if (out == nullptr) {
        return 0;
    }
    std::fill_n(out, size, uint8_t{0});
    const auto& states = machine.world().xfrm;
    if (index >= states.size() || args[4] != 0 || size != kStateSize) {
        return call.done(-EINVAL);
    }
    const World::XfrmState& state = states[index];
    mimicsh::store(out, state.reqid);
    store_be(out + 4, state.spi);
    mimicsh::store(out + 8, state.remote.v6 ? kInet6 : kInet);
    std::copy_n(state.remote.bytes.begin(), state.remote.size(), out + 12);
    return call.done(0);
}

} // namespace mimicsh::vm
