// SPDX-License-Identifier: MIT
// The same packets through one program on the vm and in the kernel, from the same maps: does it say the same?
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "object/target.h"

namespace mimicsh::kernel {

/// Loads an object on the vm, for programs that run on that CPU, with as many CPUs as the machine may have.
using LoadOnVm = std::function<Expected<std::unique_ptr<Instance>>(std::shared_ptr<const Object> object,
                                                                   const LoadOptions& options, uint32_t cpu)>;

struct CompareOptions {
    LoadOptions load; ///< as the instance was loaded
    LoadOnVm load_on_vm;
    const std::atomic<bool>* stop = nullptr;
};

/// The first packet on which the targets differ.
struct Difference {
    uint64_t packet = 0; ///< from 1
    ByteVec input;
    std::string verdict_vm; ///< "fault" where the vm refused
    std::string verdict_kernel;
    std::string text; ///< what differs, a line each: return value, first byte of the packet, context, maps
};

struct Comparison {
    uint64_t equal = 0;
    uint64_t different = 0;
    uint64_t not_comparable = 0;
    std::map<std::string, uint64_t> reasons; ///< why not comparable: "call of bpf_fib_lookup at f.c:12"
    std::optional<Difference> first;
    uint64_t aligned_sites = 0; ///< calls for time, random numbers and the CPU that took the vm's values
    bool interrupted = false;
};

/// Runs every packet on a scratch instance of each target, both with the maps of `instance` (one of the
/// vm's), which is not changed. Calls whose results differ by nature give the vm's values in the kernel. A
/// packet whose run asks the machine (routes, sockets, connections) and that differs is not comparable. Maps
/// are compared behind every packet while they are small, and behind the last one.
[[nodiscard]] Expected<Comparison> compare(Instance& instance, const std::string& program,
                                           const std::vector<ByteView>& packets,
                                           const CompareOptions& options);

} // namespace mimicsh::kernel
