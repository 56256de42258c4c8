// SPDX-License-Identifier: MIT
// Programs of no type: memory and its length in r1 and r2, as conformance suites run instructions.
#include <cerrno>

#include "vm/context/context.h"
#include "vm/machine.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kMaxMemory = 64 * 1024;

Status check(const std::string& program, ByteView memory, ByteView context) {
    if (!context.empty()) {
        return Error{EINVAL, "run", program + ": a program on memory takes no context", {}, {}};
    }
    if (memory.size() > kMaxMemory) {
        return Error{E2BIG,
                     "run",
                     program + ": memory of " + std::to_string(memory.size()) + " bytes, at most " +
                         std::to_string(kMaxMemory),
                     {},
                     {}};
    }
    return {};
}

void set_context(Machine& machine, ByteView) {
    machine.packet.writable = true;
}

/// The memory lies where packets do, so that BPF_LD_ABS reads it.
void set_packet(Machine& machine, ByteView memory) {
    PacketState& packet = machine.packet;
    packet.start = packet.meta = kXdpHeadroom;
    packet.end = packet.start + static_cast<uint32_t>(memory.size());
    packet.paged = 0;
    packet.fragments.clear();
    std::copy(memory.begin(), memory.end(), packet.buffer.begin() + packet.start);
}

void set_registers(Machine& machine) {
    const PacketState& packet = machine.packet;
    Region region;
    region.kind = RegionKind::Memory;
    region.host = machine.packet.buffer.data() + packet.start;
    region.size = packet.end - packet.start;
    region.readable = region.writable = true;
    region.load_limit = region.store_limit = region.size;
    machine.note_effect();
    const uint32_t handle = machine.regions.add(region);
    machine.regs[1] = region.size != 0 ? make_addr(handle, 0) : 0;
    machine.regs[2] = region.size;
}

ByteVec context_after(const Machine&) {
    return {};
}

void packet_after(const Machine& machine, ByteVec& out) {
    const PacketState& packet = machine.packet;
    out.insert(out.end(), packet.buffer.begin() + packet.start, packet.buffer.begin() + packet.end);
}

} // namespace

const ContextKind& memory_kind() {
    static constexpr ContextKind kKind{.struct_name = "memory",
                                       .fields = {},
                                       .loads = "there is no context",
                                       .check = check,
                                       .set_context = set_context,
                                       .set_packet = set_packet,
                                       .set_registers = set_registers,
                                       .context_after = context_after,
                                       .packet_after = packet_after};
    return kKind;
}

} // namespace mimicsh::vm
