// SPDX-License-Identifier: MIT
// Ring-buffer helpers (kernel/bpf/ringbuf.c).
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/maps/ringbuf.h"

namespace mimicsh::vm {

namespace {

constexpr uint64_t kNoWakeup = 1, kForceWakeup = 2;

Ringbuf* ringbuf_at(Machine& machine, uint64_t addr, const char* helper) {
    VmMap* map = machine.map_at(addr, helper);
    if (map != nullptr && map->info().type != abi::MapType::Ringbuf) {
        machine.fault(FaultKind::BadCall,
                      std::string(helper) + ": " + map->info().name + " is no ring buffer");
        return nullptr;
    }
    return static_cast<Ringbuf*>(map);
}

/// Ends a record: its region dies, so that a later use is a fault with the reason.
void finish(Machine& machine, uint64_t addr, bool discard, const char* helper) {
    const uint32_t handle = handle_of(addr);
    if (!spend_on(machine, machine.open_references.size())) {
        return;
    }
    const auto open = std::ranges::find(machine.open_references, handle);
    if (open == machine.open_references.end() || offset_of(addr) != 0 ||
        machine.regions.at(handle).kind != RegionKind::Record) {
        machine.fault(FaultKind::BadCall, std::string(helper) + ": the argument is no reserved record");
        return;
    }
    const Region& region = machine.regions.at(handle);
    static_cast<Ringbuf&>(*machine.maps()[region.owner]).commit(region.host, discard, &machine.journal);
    machine.open_references.erase(open);
    machine.regions.kill(handle, helper);
}

} // namespace

uint64_t helper_ringbuf_reserve(Machine& machine, const uint64_t* args) {
    Ringbuf* ring = ringbuf_at(machine, args[0], "bpf_ringbuf_reserve");
    if (ring == nullptr || args[2] != 0) {
        return 0;
    }
    uint8_t* record = ring->reserve(args[1], &machine.journal);
    if (record == nullptr) {
        return 0;
    }
    Region region;
    region.kind = RegionKind::Record;
    region.host = record;
    region.size = static_cast<uint32_t>(args[1]);
    region.readable = region.writable = true;
    region.load_limit = region.store_limit = region.size;
    region.owner = machine.regions.at(handle_of(args[0])).owner;
    region.birth = machine.code->slot_of(machine.at);
    const uint32_t handle = machine.regions.add(region);
    machine.note_effect();
    machine.open_references.push_back(handle);
    return make_addr(handle, 0);
}

uint64_t helper_ringbuf_submit(Machine& machine, const uint64_t* args) {
    finish(machine, args[0], false, "bpf_ringbuf_submit");
    return 0;
}

uint64_t helper_ringbuf_discard(Machine& machine, const uint64_t* args) {
    finish(machine, args[0], true, "bpf_ringbuf_discard");
    return 0;
}

uint64_t helper_ringbuf_output(Machine& machine, const uint64_t* args) {
    Ringbuf* ring = ringbuf_at(machine, args[0], "bpf_ringbuf_output");
    if (ring == nullptr) {
        return 0;
    }
    const uint8_t* data = machine.span(args[1], args[2], Access::Read, "record");
    if (data == nullptr) {
        return 0;
    }
    if ((args[3] & ~(kNoWakeup | kForceWakeup)) != 0) {
        return errno_result(-EINVAL);
    }
    uint8_t* record = ring->reserve(args[2], &machine.journal);
    if (record == nullptr) {
        return errno_result(-EAGAIN);
    }
    std::memcpy(record, data, args[2]);
    ring->commit(record, false, &machine.journal);
    return 0;
}

uint64_t helper_ringbuf_query(Machine& machine, const uint64_t* args) {
    const Ringbuf* ring = ringbuf_at(machine, args[0], "bpf_ringbuf_query");
    if (ring == nullptr) {
        return 0;
    }
    switch (args[1]) {
    case 0: // BPF_RB_AVAIL_DATA
        return ring->available();
    case 1: // BPF_RB_RING_SIZE
        return ring->ring_size();
    case 2: // BPF_RB_CONS_POS
        return ring->consumer();
    case 3: // BPF_RB_PROD_POS
        return ring->producer();
    default:
        return 0;
    }
}

} // namespace mimicsh::vm
