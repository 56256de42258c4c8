// SPDX-License-Identifier: MIT
// bpf_perf_event_output (net/core/filter.c, kernel/trace/bpf_trace.c).
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/maps/perf_event_array.h"

namespace mimicsh::vm {

uint64_t helper_perf_event_output(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kPerfEventOutput = 25;
    constexpr uint64_t kIndexMask = 0xffffffff, kCurrentCpu = 0xffffffff;
    constexpr uint64_t kLengthMask = uint64_t{0xfffff} << 32;
    if (args[0] != make_addr(kContextHandle, 0)) {
        return machine.fault(FaultKind::BadCall,
                             "bpf_perf_event_output: the first argument is not the context");
    }
    VmMap* map = map_argument(machine, args[1], kPerfEventOutput);
    const uint64_t flags = args[2];
    const uint64_t size = args[4];
    const uint8_t* data = map == nullptr ? nullptr : machine.span(args[3], size, Access::Read, "record");
    if (data == nullptr) {
        return 0;
    }
    if ((flags & ~(kLengthMask | kIndexMask)) != 0) {
        return errno_result(-EINVAL);
    }
    const uint64_t of_packet = (flags & kLengthMask) >> 32;
    if (of_packet > packet_length(machine.packet)) {
        return errno_result(-EFAULT);
    }
    const uint64_t index = (flags & kIndexMask) == kCurrentCpu ? machine.cpu : flags & kIndexMask;
    int64_t code = 0;
    uint8_t* record =
        static_cast<PerfEventArray*>(map)->add(index, machine.cpu, size + of_packet, &machine.journal, code);
    if (record != nullptr) {
        std::memcpy(record, data, size);
        copy_packet(machine.packet, 0, record + size, of_packet, false);
    }
    return errno_result(code);
}

} // namespace mimicsh::vm
