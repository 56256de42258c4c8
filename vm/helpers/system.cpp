// SPDX-License-Identifier: MIT
// Time, random numbers, CPU and bpf_loop.
#include <cerrno>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

uint64_t helper_ktime_get_ns(Machine& machine, const uint64_t*) {
    return machine.clock_ns;
}

uint64_t helper_ktime_get_boot_ns(Machine& machine, const uint64_t*) {
    return machine.clock_ns + static_cast<uint64_t>(machine.world().boot_offset_ns);
}

uint64_t helper_ktime_get_coarse_ns(Machine& machine, const uint64_t*) {
    return machine.clock_ns;
}

uint64_t helper_ktime_get_tai_ns(Machine& machine, const uint64_t*) {
    return machine.clock_ns + static_cast<uint64_t>(machine.world().tai_offset_ns);
}

uint64_t helper_jiffies64(Machine& machine, const uint64_t*) {
    constexpr uint64_t kNsPerJiffy = 4'000'000; // CONFIG_HZ=250, Debian's
    return machine.clock_ns / kNsPerJiffy;
}

uint64_t helper_get_prandom_u32(Machine& machine, const uint64_t*) {
    return machine.random();
}

uint64_t helper_get_smp_processor_id(Machine& machine, const uint64_t*) {
    return machine.cpu;
}

uint64_t helper_get_numa_node_id(Machine& machine, const uint64_t*) {
    const auto& node = machine.world().numa_node;
    return machine.given(node, "world.numa_node") ? *node : 0;
}

uint64_t helper_loop(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kMaxLoops = 1u << 23; // BPF_MAX_LOOPS
    const auto count = static_cast<uint32_t>(args[0]);
    const uint64_t callback = args[1];
    const uint64_t context = args[2];
    if (args[3] != 0) {
        return errno_result(-EINVAL);
    }
    if (count > kMaxLoops) {
        // Flags that are a constant 0, as in about every program, make the kernel inline the call, and the
        // inlined code sets r0 by a 32-bit move (inline_bpf_loop in kernel/bpf/verifier.c).
        return static_cast<uint32_t>(-E2BIG);
    }
    for (uint32_t i = 0; i < count; ++i) {
        const auto result = machine.call_back(callback, {i, context, 0, 0, 0}, "bpf_loop");
        if (!result) {
            return 0;
        }
        if (*result > 1) {
            return machine.fault(FaultKind::Strict, "bpf_loop: the callback returned " +
                                                        std::to_string(*result) +
                                                        ", only 0 and 1 are allowed");
        }
        if (*result != 0) {
            return i + 1;
        }
    }
    return count;
}

} // namespace mimicsh::vm
