// SPDX-License-Identifier: MIT
// Moving the ends of an XDP packet, whole-packet loads and stores, redirect (net/core/filter.c).
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/program.h"

namespace mimicsh::vm {

uint64_t packet_length(const PacketState& packet) {
    return packet.end - packet.start + packet.fragments.size();
}

void copy_packet(PacketState& packet, uint64_t offset, uint8_t* bytes, uint64_t size, bool to_packet) {
    const uint64_t linear = packet.end - packet.start;
    for (uint64_t i = 0; i < size;) {
        const uint64_t position = offset + i;
        const bool in_linear = position < linear;
        uint8_t* at = in_linear ? packet.buffer.data() + packet.start + position
                                : packet.fragments.data() + (position - linear);
        const uint64_t run = in_linear ? std::min(size - i, linear - position) : size - i;
        if (to_packet) {
            std::memmove(at, bytes + i, run); // the bytes may be the packet's own
        } else {
            std::memmove(bytes + i, at, run);
        }
        i += run;
    }
}

namespace {

bool is_context(Machine& machine, uint64_t addr, const char* helper) {
    if (addr == make_addr(kContextHandle, 0)) {
        return true;
    }
    machine.fault(FaultKind::BadCall, std::string(helper) + ": the first argument is not the context");
    return false;
}

uint64_t move_bytes(Machine& machine, const uint64_t* args, bool to_packet, const char* helper) {
    constexpr uint64_t kMaxOffset = 0xffff; // what bpf_xdp_pointer takes
    if (!is_context(machine, args[0], helper)) {
        return 0;
    }
    const auto offset = static_cast<uint32_t>(args[1]);
    const auto size = static_cast<uint32_t>(args[3]);
    if (size == 0) {
        return machine.fault(FaultKind::BadCall,
                             std::string(helper) + ": length is 0, the kernel refuses it");
    }
    uint8_t* bytes = machine.span(args[2], size, to_packet ? Access::Read : Access::Write, "buffer");
    if (bytes == nullptr) {
        return 0;
    }
    if (offset > kMaxOffset || size > kMaxOffset) {
        return errno_result(-EFAULT);
    }
    const uint64_t length = packet_length(machine.packet);
    if (offset > length || size > length - offset) {
        return errno_result(-EINVAL);
    }
    copy_packet(machine.packet, offset, bytes, size, to_packet);
    return 0;
}

int64_t adjust_linear_tail(PacketState& packet, int64_t delta) {
    const int64_t end = int64_t{packet.end} + delta;
    if (end > packet.room_end || end < int64_t{packet.start} + kMinPacket) {
        return -EINVAL;
    }
    if (delta > 0) {
        std::memset(packet.buffer.data() + packet.end, 0, static_cast<size_t>(delta));
    }
    packet.end = static_cast<uint32_t>(end);
    return 0;
}

/// Fragments are pages filled one after the other: the last may grow to the end of its page; shrinking takes
/// from the last one first and from the linear part when no fragment is left.
int64_t adjust_fragments(PacketState& packet, int64_t delta) {
    constexpr int64_t kPage = kFragment;
    const auto size = static_cast<int64_t>(packet.fragments.size());
    if (delta >= 0) {
        const int64_t room = (kPage - (packet.pulled + size) % kPage) % kPage;
        if (delta > room) {
            return -EINVAL;
        }
        packet.fragments.resize(static_cast<size_t>(size + delta));
        return 0;
    }
    if (delta == INT32_MIN) { // the kernel's int stays negative when its sign is turned
        return 0;
    }
    if (-delta > static_cast<int64_t>(packet_length(packet)) - kMinPacket) {
        return -EINVAL;
    }
    const int64_t from_fragments = std::min(-delta, size);
    packet.fragments.resize(static_cast<size_t>(size - from_fragments));
    packet.end -= static_cast<uint32_t>(-delta - from_fragments);
    return 0;
}

} // namespace

uint64_t helper_redirect(Machine& machine, const uint64_t* args) {
    constexpr uint64_t kIngress = 1;
    const bool is_xdp = machine.code->program->linked().spec.type == abi::ProgType::Xdp;
    if ((args[1] & ~(is_xdp ? 0 : kIngress)) != 0) {
        return is_xdp ? abi::kXdpAborted : abi::kTcShot;
    }
    machine.note_effect();
    machine.redirect = Redirect{"ifindex", static_cast<uint32_t>(args[0]), args[1]};
    return is_xdp ? abi::kXdpRedirect : abi::kTcRedirect;
}

uint64_t helper_xdp_adjust_head(Machine& machine, const uint64_t* args) {
    if (!is_context(machine, args[0], "bpf_xdp_adjust_head")) {
        return 0;
    }
    PacketState& packet = machine.packet;
    const auto delta = int64_t{static_cast<int32_t>(args[1])};
    const int64_t metadata = int64_t{packet.start} - packet.meta;
    const int64_t start = int64_t{packet.start} + delta;
    if (start < int64_t{kXdpFrameSize} + metadata || start > int64_t{packet.end} - kMinPacket) {
        machine.move_packet("bpf_xdp_adjust_head");
        return errno_result(-EINVAL);
    }
    if (metadata != 0) {
        std::memmove(packet.buffer.data() + start - metadata, packet.buffer.data() + packet.meta,
                     static_cast<size_t>(metadata));
    }
    packet.start = static_cast<uint32_t>(start);
    packet.meta = static_cast<uint32_t>(start - metadata);
    machine.move_packet("bpf_xdp_adjust_head");
    return 0;
}

uint64_t helper_xdp_adjust_meta(Machine& machine, const uint64_t* args) {
    constexpr int64_t kMaxMeta = 0xff; // skb_shared_info keeps the length in a byte
    if (!is_context(machine, args[0], "bpf_xdp_adjust_meta")) {
        return 0;
    }
    PacketState& packet = machine.packet;
    const auto delta = int64_t{static_cast<int32_t>(args[1])};
    const int64_t meta = int64_t{packet.meta} + delta;
    int64_t result = 0;
    if (meta < kXdpFrameSize || meta > packet.start) {
        result = -EINVAL;
    } else if ((packet.start - meta) % 4 != 0 || packet.start - meta > kMaxMeta) {
        result = -EACCES;
    } else {
        packet.meta = static_cast<uint32_t>(meta);
    }
    machine.move_packet("bpf_xdp_adjust_meta");
    return errno_result(result);
}

uint64_t helper_xdp_adjust_tail(Machine& machine, const uint64_t* args) {
    if (!is_context(machine, args[0], "bpf_xdp_adjust_tail")) {
        return 0;
    }
    const auto delta = int64_t{static_cast<int32_t>(args[1])};
    const int64_t result = machine.packet.fragments.empty() ? adjust_linear_tail(machine.packet, delta)
                                                            : adjust_fragments(machine.packet, delta);
    machine.move_packet("bpf_xdp_adjust_tail");
    return errno_result(result);
}

uint64_t helper_xdp_get_buff_len(Machine& machine, const uint64_t* args) {
    return is_context(machine, args[0], "bpf_xdp_get_buff_len") ? packet_length(machine.packet) : 0;
}

uint64_t helper_xdp_load_bytes(Machine& machine, const uint64_t* args) {
    return move_bytes(machine, args, false, "bpf_xdp_load_bytes");
}

uint64_t helper_xdp_store_bytes(Machine& machine, const uint64_t* args) {
    return move_bytes(machine, args, true, "bpf_xdp_store_bytes");
}

} // namespace mimicsh::vm
