// SPDX-License-Identifier: MIT
// Programs that take flows apart and their test run (flow_dissector_is_valid_access; bpf_flow_dissect;
// bpf_prog_test_run_flow_dissector): the packet in, struct bpf_flow_keys out.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "vm/context/context.h"
#include "vm/context/sk_buff.h"
#include "vm/machine.h"

namespace mimicsh::vm {

namespace {

using Role = FieldRole;

constexpr std::array kFields{
    ContextField{"data", kSkbData, 4, Role::PacketStart},
    ContextField{"data_end", kSkbDataEnd, 4, Role::PacketEnd},
    ContextField{"flow_keys", kSkbFlowKeys, 8, Role::Pointer, false, 0xffff, 0, 8},
};

/// Offsets in struct bpf_flow_keys.
constexpr uint32_t kNetwork = 0, kTransport = 2, kProtocol = 10, kFlags = 48;
constexpr uint32_t kMaxPacket = 4096; ///< one page

Status check(const std::string& program, ByteView packet, ByteView context) {
    const auto refuse = [&](std::string why) -> Status {
        return Error{EINVAL, "run", program + ": " + std::move(why), {}, {}};
    };
    if (!context.empty() && context.size() != kFlowKeysSize) {
        return refuse("context has " + std::to_string(context.size()) + " bytes, struct bpf_flow_keys has " +
                      std::to_string(kFlowKeysSize));
    }
    if (packet.size() < kMinPacket || packet.size() > kMaxPacket) {
        return refuse("packet of " + std::to_string(packet.size()) + " bytes, a test run takes 14 to " +
                      std::to_string(kMaxPacket));
    }
    for (uint32_t at = 0; at < context.size(); ++at) {
        if ((at < kFlags || at >= kFlags + 4) && context[at] != 0) {
            return refuse("context: only the flags of struct bpf_flow_keys can be given");
        }
    }
    return {};
}

void set_context(Machine& machine, ByteView context) {
    machine.context_given.assign(context.begin(), context.end());
    machine.packet.writable = false;
}

void set_packet(Machine& machine, ByteView packet) {
    PacketState& state = machine.packet;
    state.fragments.clear();
    state.start = state.meta = kSkbHeadroom;
    state.end = kSkbHeadroom + static_cast<uint32_t>(packet.size());
    state.paged = 0;
    std::memcpy(state.buffer.data() + state.start, packet.data(), packet.size());
    store(machine.context_image.data() + kSkbFlowKeys, make_addr(kFlowKeysHandle, 0));
}

bool has_keys(const Machine& machine) {
    return machine.given_run != nullptr && !machine.given_run->flow_keys.empty();
}

/// Each run begins with keys that say where the network header is.
void begin(Machine& machine) {
    const ByteView given = machine.context_given;
    uint8_t* keys = machine.flow_keys.data();
    if (has_keys(machine)) {
        std::ranges::copy(machine.given_run->flow_keys, keys);
        return;
    }
    machine.flow_keys.fill(0);
    store(keys + kNetwork, static_cast<uint16_t>(kEthHeader));
    store(keys + kTransport, static_cast<uint16_t>(kEthHeader));
    std::memcpy(keys + kProtocol, machine.packet.buffer.data() + machine.packet.start + kEthHeader - 2, 2);
    store(keys + kFlags, given.empty() ? 0 : load<uint32_t>(given.data() + kFlags));
}

ByteVec context_after(const Machine& machine) {
    return machine.context_given;
}

void packet_after(const Machine& machine, ByteVec& out) {
    std::array<uint8_t, kFlowKeysSize> keys = machine.flow_keys;
    const auto length = static_cast<uint16_t>(machine.packet.end - machine.packet.start);
    const uint16_t first = has_keys(machine) ? load<uint16_t>(machine.given_run->flow_keys.data() + kNetwork)
                                             : static_cast<uint16_t>(kEthHeader);
    const auto least = std::min(first, length);
    const auto network = std::clamp(load<uint16_t>(keys.data() + kNetwork), least, length);
    store(keys.data() + kNetwork, network);
    store(keys.data() + kTransport, std::clamp(load<uint16_t>(keys.data() + kTransport), network, length));
    out.insert(out.end(), keys.begin(), keys.end());
}

} // namespace

const ContextKind& flow_dissector_kind() {
    static constexpr ContextKind kKind{.struct_name = "struct __sk_buff",
                                       .user = kUserFlowDissector,
                                       .size = kSkbSize,
                                       .fields = kFields,
                                       .packet_writable = false,
                                       .loads = "only data, data_end and flow_keys can be loaded",
                                       .check = check,
                                       .set_context = set_context,
                                       .set_packet = set_packet,
                                       .begin = begin,
                                       .context_after = context_after,
                                       .packet_after = packet_after};
    return kKind;
}

} // namespace mimicsh::vm
