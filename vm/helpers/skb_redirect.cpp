// SPDX-License-Identifier: MIT
// Where programs on socket buffers send packets: what they asked for is in the Result.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/routes.h"
#include "vm/helpers/skb_call.h"

namespace mimicsh::vm {

namespace {

/// What keeps a copy from leaving by an interface, 0 when nothing does.
int64_t clone_refusal(Machine& machine, SkbCall& call, uint32_t interface, uint64_t flags) {
    constexpr uint64_t kIngress = 1;
    constexpr uint32_t kLoopback = 1;
    if ((flags & ~kIngress) != 0) {
        return -EINVAL;
    }
    if (call.is_gso()) {
        return -EBADMSG; // a test run makes such buffers without their type
    }
    if (interface != kLoopback && (!machine.given(machine.world().interfaces, "world.interfaces") ||
                                   machine.world().find_interface(interface) == nullptr)) {
        return -EINVAL;
    }
    return machine.skb.mac >= machine.skb.network || call.length() == 0 ? -ERANGE : 0;
}

/// The next hop of struct bpf_redir_neigh: family, then the address.
std::optional<NextHop> next_hop_of(Machine& machine, const uint8_t* params, uint32_t interface) {
    constexpr uint32_t kInet = 2, kInet6 = 10;
    const auto family = mimicsh::load<uint32_t>(params);
    if (family != kInet && family != kInet6) {
        machine.warn("bpf_redirect_neigh: family " + std::to_string(family) +
                     " is neither AF_INET nor AF_INET6: the kernel drops the packet");
        return std::nullopt;
    }
    NextHop hop;
    hop.v6 = family == kInet6;
    IpAddress address;
    address.v6 = hop.v6;
    std::copy_n(params + 4, address.size(), address.bytes.begin());
    hop.address = address.bytes;
    if (const World::Neighbour* known = neighbour_of(machine.world(), interface, address)) {
        hop.mac = known->mac;
    }
    return hop;
}

} // namespace

ByteVec leaving_frame(Machine& machine) {
    SkbCall buffer(machine, "");
    ByteVec bytes(buffer.data(), buffer.data() + buffer.length());
    if (machine.skb.l2 && buffer.get(kSkbVlanPresent) != 0 && bytes.size() >= kMacs) {
        std::array<uint8_t, kVlanTag> tag{};
        store_be(tag.data(), swapped(buffer.get(kSkbVlanProto)));
        store_be(tag.data() + 2, static_cast<uint16_t>(buffer.get(kSkbVlanTci)));
        bytes.insert(bytes.begin() + kMacs, tag.begin(), tag.end());
    }
    return bytes;
}

uint64_t helper_clone_redirect(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_clone_redirect");
    if (!call.good()) {
        return 0;
    }
    const auto interface = static_cast<uint32_t>(args[1]);
    const int64_t refusal = clone_refusal(machine, call, interface, args[2]);
    if (machine.faulted()) {
        return 0;
    }
    if (refusal == 0) {
        machine.emitted.push_back(
            {"clone", interface, args[2], leaving_frame(machine), machine.world().interface_name(interface)});
        machine.note_effect(machine.emitted.back().packet.size() + kUsualEffect);
    }
    return call.changed(refusal);
}

uint64_t helper_redirect_peer(Machine& machine, const uint64_t* args) {
    if (args[1] != 0) {
        return abi::kTcShot;
    }
    machine.note_effect();
    const auto interface = static_cast<uint32_t>(args[0]);
    machine.redirect = Redirect{"peer", interface, 0};
    if (const World::Interface* device = machine.world().find_interface(interface)) {
        machine.redirect->peer = device->peer;
    }
    return abi::kTcRedirect;
}

uint64_t helper_redirect_neigh(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kParams = 20; ///< struct bpf_redir_neigh
    const auto size = static_cast<int32_t>(args[2]);
    const uint8_t* params = machine.span(args[1], static_cast<uint32_t>(size), Access::Read, "parameters");
    if (params == nullptr) {
        return 0;
    }
    if ((size != 0 && size < static_cast<int32_t>(kParams)) || args[3] != 0) {
        return abi::kTcShot;
    }
    machine.note_effect();
    const auto interface = static_cast<uint32_t>(args[0]);
    machine.redirect = Redirect{"neigh", interface, 0};
    if (size != 0) {
        machine.redirect->next_hop = next_hop_of(machine, params, interface);
    }
    return abi::kTcRedirect;
}

} // namespace mimicsh::vm
