// SPDX-License-Identifier: MIT
// Kernel functions of XDP programs: making fragments linear, and what the card says of a packet
// (net/core/filter.c, net/core/xdp.c).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

bool is_context(Machine& machine, uint64_t addr, const char* kfunc) {
    if (addr == make_addr(kContextHandle, 0)) {
        return true;
    }
    machine.fault(FaultKind::BadCall, std::string(kfunc) + ": the first argument is not the context");
    return false;
}

/// Moves bytes from the fragments behind the linear part; when the room there does not do, everything moves
/// towards the front first.
int64_t pull(PacketState& packet, uint32_t wanted) {
    const uint32_t linear = packet.end - packet.start;
    if (wanted <= linear) {
        return 0;
    }
    if (wanted > packet_length(packet)) {
        return -EINVAL;
    }
    // In permissive mode helpers of other types may have put the packet elsewhere.
    const uint32_t headroom = packet.meta - std::min(kXdpFrameSize, packet.meta);
    const uint32_t tailroom = packet.room_end - std::min(packet.room_end, packet.end);
    const uint32_t more = wanted - linear;
    if (more > headroom + tailroom) {
        return -EINVAL;
    }
    if (more > tailroom) {
        const uint32_t shift = more - tailroom;
        uint8_t* from = packet.buffer.data() + packet.meta;
        std::memmove(from - shift, from, packet.end - packet.meta);
        packet.meta -= shift;
        packet.start -= shift;
        packet.end -= shift;
    }
    std::copy_n(packet.fragments.begin(), more, packet.buffer.begin() + packet.end);
    packet.fragments.erase(packet.fragments.begin(), packet.fragments.begin() + more);
    packet.end += more;
    packet.pulled = packet.fragments.empty() ? 0 : (packet.pulled + more) % kFragment;
    return 0;
}

/// What a card answers that has no such number for this packet, or none at all.
int64_t without(const Machine& machine) {
    return machine.world().rx ? -ENODATA : -EOPNOTSUPP;
}

template <typename T>
bool give(Machine& machine, uint64_t addr, T value) {
    uint8_t* out = machine.span(addr, sizeof(T), Access::Write, "result");
    if (out == nullptr) {
        return false;
    }
    mimicsh::store(out, value);
    return true;
}

} // namespace

uint64_t kfunc_xdp_pull_data(Machine& machine, const uint64_t* args) {
    if (!is_context(machine, args[0], "bpf_xdp_pull_data")) {
        return 0;
    }
    const int64_t result = pull(machine.packet, static_cast<uint32_t>(args[1]));
    machine.move_packet("bpf_xdp_pull_data");
    return errno_result(result);
}

uint64_t kfunc_xdp_metadata_rx_timestamp(Machine& machine, const uint64_t* args) {
    const auto& rx = machine.world().rx;
    if (!is_context(machine, args[0], "bpf_xdp_metadata_rx_timestamp")) {
        return 0;
    }
    if (!rx || !rx->timestamp) {
        return errno_result(without(machine));
    }
    (void)give(machine, args[1], *rx->timestamp);
    return 0;
}

uint64_t kfunc_xdp_metadata_rx_hash(Machine& machine, const uint64_t* args) {
    const auto& rx = machine.world().rx;
    if (!is_context(machine, args[0], "bpf_xdp_metadata_rx_hash")) {
        return 0;
    }
    if (!rx || !rx->hash) {
        return errno_result(without(machine));
    }
    (void)(give(machine, args[1], *rx->hash) && give(machine, args[2], rx->hash_type));
    return 0;
}

uint64_t kfunc_xdp_metadata_rx_vlan_tag(Machine& machine, const uint64_t* args) {
    const auto& rx = machine.world().rx;
    if (!is_context(machine, args[0], "bpf_xdp_metadata_rx_vlan_tag")) {
        return 0;
    }
    if (!rx || !rx->vlan_tci) {
        return errno_result(without(machine));
    }
    (void)(give(machine, args[1], __builtin_bswap16(rx->vlan_proto)) &&
           give(machine, args[2], *rx->vlan_tci));
    return 0;
}

} // namespace mimicsh::vm
