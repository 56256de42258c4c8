// SPDX-License-Identifier: MIT
// bpf_user_ringbuf_drain (kernel/bpf/ringbuf.c).
#include "vm/maps/user_ringbuf.h"

#include <cerrno>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kDrain = 209;
constexpr uint64_t kWakeupFlags = 3;      ///< BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP
constexpr uint32_t kMaxSamples = 1 << 17; ///< BPF_MAX_USER_RINGBUF_SAMPLES

Region visible(Machine& machine, RegionKind kind, ByteSpan bytes, bool writable) {
    Region region;
    region.kind = kind;
    region.host = bytes.data();
    region.size = region.load_limit = static_cast<uint32_t>(bytes.size());
    region.readable = true;
    region.writable = writable;
    region.store_limit = writable ? region.size : 0;
    region.birth = machine.code->slot_of(machine.at);
    return region;
}

/// Shows one sample to the callback as a dynptr; nothing when a fault is pending.
std::optional<uint64_t> show(Machine& machine, ByteSpan sample, uint64_t callback, uint64_t context) {
    const uint32_t data = machine.regions.add(visible(machine, RegionKind::Sample, sample, true));
    Dynptr view;
    view.kind = Dynptr::Kind::Memory;
    view.address = make_addr(data, 0);
    view.size = static_cast<uint32_t>(sample.size());
    std::array<uint8_t, kDynptrBytes> bytes{};
    mimicsh::store(bytes.data(), add_dynptr(machine, view));
    const uint32_t place = machine.regions.add(visible(machine, RegionKind::Sample, bytes, false));
    const auto result =
        machine.call_back(callback, {make_addr(place, 0), context, 0, 0, 0}, "bpf_user_ringbuf_drain");
    machine.regions.kill(place, "bpf_user_ringbuf_drain");
    machine.regions.kill(data, "bpf_user_ringbuf_drain");
    if (result && *result > 1) {
        machine.fault(FaultKind::Strict, "bpf_user_ringbuf_drain: the callback returned " +
                                             std::to_string(*result) + ", only 0 and 1 are allowed");
        return std::nullopt;
    }
    return result;
}

} // namespace

uint64_t helper_user_ringbuf_drain(Machine& machine, const uint64_t* args) {
    auto* ring = static_cast<UserRingbuf*>(map_argument(machine, args[0], kDrain));
    if (ring == nullptr) {
        return 0;
    }
    if ((args[3] & ~kWakeupFlags) != 0) {
        return errno_result(-EINVAL);
    }
    if (ring->draining) {
        return errno_result(-EBUSY);
    }
    const uint64_t callback = args[1]; // the callback's own arguments take the registers
    const uint64_t context = args[2];
    machine.note_effect();
    ring->draining = true;
    uint32_t count = 0;
    std::optional<uint64_t> result = 0;
    while (result == uint64_t{0} && count < kMaxSamples) {
        const auto sample = ring->peek_sample();
        if (!sample) {
            break;
        }
        result = show(machine, *sample, callback, context);
        ring->release_sample(&machine.journal);
        ++count;
    }
    ring->draining = false;
    return machine.faulted() ? 0 : count;
}

} // namespace mimicsh::vm
