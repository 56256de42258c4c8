// SPDX-License-Identifier: MIT
// struct xdp_md and the test run of XDP programs (xdp_is_valid_access; bpf_prog_test_run_xdp).
#include <array>
#include <cerrno>
#include <cstring>

#include "vm/context/context.h"
#include "vm/machine.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kLoopback = 1; ///< ingress_ifindex of a test run
constexpr std::string_view kStruct = "struct xdp_md";

constexpr std::array<ContextField, 6> kFields{{
    {"data", 0, 4, FieldRole::PacketStart},
    {"data_end", 4, 4, FieldRole::PacketEnd},
    {"data_meta", 8, 4, FieldRole::PacketMeta},
    {"ingress_ifindex", 12, 4},
    {"rx_queue_index", 16, 4},
    {"egress_ifindex", 20, 4},
}};

abi::XdpMd read(ByteView context) {
    abi::XdpMd md;
    if (!context.empty()) {
        std::memcpy(&md, context.data(), sizeof md);
    }
    return md;
}

Status check(const std::string& program, ByteView packet, ByteView context) {
    const auto refuse = [&](std::string why, int code = EINVAL) -> Status {
        return Error{code, "run", program + ": " + std::move(why), {}, {}};
    };
    if (!context.empty() && context.size() != sizeof(abi::XdpMd)) {
        return refuse("context has " + std::to_string(context.size()) + " bytes, struct xdp_md has " +
                      std::to_string(sizeof(abi::XdpMd)));
    }
    const abi::XdpMd md = read(context);
    if (md.ingress_ifindex == 0 && md.rx_queue_index != 0) {
        return refuse("rx_queue_index needs an ingress_ifindex");
    }
    if (packet.size() < kMinPacket) {
        return refuse("packet of " + std::to_string(packet.size()) + " bytes, a test run takes at least 14");
    }
    if (packet.size() > kXdpMaxPacket) {
        return refuse("packet of " + std::to_string(packet.size()) + " bytes, a test run takes at most " +
                          std::to_string(kXdpMaxPacket),
                      ENOMEM);
    }
    constexpr uint32_t kMaxMeta = kXdpHeadroom - kXdpFrameSize;
    if (md.data_meta != 0 || md.data > kMaxMeta || md.data % 4 != 0 || md.data > packet.size() - kMinPacket) {
        return refuse("context: data is the length of the metadata in front (a multiple of 4, at most " +
                      std::to_string(kMaxMeta) + "), data_meta 0");
    }
    if (md.data_end != 0 && (md.data_end > packet.size() || md.data_end < md.data)) {
        return refuse(
            "context: data_end is how much of the input is linear: at least the metadata, at most all");
    }
    if (md.egress_ifindex != 0) {
        return refuse("context: egress_ifindex cannot be given");
    }
    return {};
}

/// ctx_in's `data` is the length of the metadata that the input starts with; it takes headroom. Since Linux
/// 6.18 `data_end` says how much of the input is linear; the rest becomes fragments.
void set_context(Machine& machine, ByteView context) {
    abi::XdpMd md = read(context);
    machine.packet.metadata = md.data;
    machine.packet.linear_limit = md.data_end != 0 ? md.data_end : UINT32_MAX;
    machine.packet.room_end = kXdpBuffer;
    md.data = md.data_end = 0;
    md.ingress_ifindex = md.ingress_ifindex != 0 ? md.ingress_ifindex : kLoopback;
    std::memcpy(machine.context_image.data(), &md, sizeof md);
    machine.packet.writable = true;
}

void set_packet(Machine& machine, ByteView packet) {
    const RunOptions* run = machine.given_run;
    if (run != nullptr && (run->headroom || run->tailroom || run->linearise)) {
        machine.set_xdp_packet(packet, run->headroom, run->tailroom);
    } else {
        machine.set_xdp_packet(packet);
    }
}

ByteVec context_after(const Machine& machine) {
    abi::XdpMd md;
    std::memcpy(&md, machine.context_image.data(), sizeof md);
    md.data = machine.packet.start - machine.packet.meta;
    md.data_end = machine.packet.end - machine.packet.meta; // the linear part only
    ByteVec bytes(sizeof md);
    std::memcpy(bytes.data(), &md, sizeof md);
    return bytes;
}

void packet_after(const Machine& machine, ByteVec& out) {
    const PacketState& packet = machine.packet;
    out.insert(out.end(), packet.buffer.begin() + packet.start, packet.buffer.begin() + packet.end);
    out.insert(out.end(), packet.fragments.begin(), packet.fragments.end());
}

} // namespace

const ContextKind& xdp_md_kind() {
    static constexpr ContextKind kKind{.struct_name = kStruct,
                                       .user = kUserXdp,
                                       .size = sizeof(abi::XdpMd),
                                       .fields = kFields,
                                       .packet_writable = true,
                                       .loads = "only whole 4-byte fields at 0, 4, ... 20 can be loaded",
                                       .check = check,
                                       .set_context = set_context,
                                       .set_packet = set_packet,
                                       .context_after = context_after,
                                       .packet_after = packet_after};
    return kKind;
}

} // namespace mimicsh::vm
