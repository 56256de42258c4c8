// SPDX-License-Identifier: MIT
// From the vm to a live interface: verify, compare, copy the maps, attach.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/compare.h"
#include "kernel/link.h"
#include "kernel/map_copy.h"

namespace mimicsh::kernel {

enum class PromoteHook : uint8_t { Xdp, TcIngress, TcEgress };

struct PromoteOptions {
    std::string device;
    PromoteHook hook = PromoteHook::Xdp;
    std::string program; ///< empty = the only one that fits the hook
    XdpOptions xdp;
    TcOptions tc;                          ///< its direction is the hook's
    std::vector<std::string> without_maps; ///< left as the object makes them
    std::vector<ByteView> packets;         ///< to compare on
    bool force = false;                    ///< attach in spite of differences, or of nothing compared
    CompareOptions compare;
};

struct Promotion {
    std::unique_ptr<Instance> instance; ///< the kernel's
    std::unique_ptr<Link> link;         ///< null when the comparison forbade it
    std::string program;
    Comparison comparison;
    std::vector<MapCopy> maps;
};

/// The program that is meant: the one named, or the only one that fits the hook; EINVAL names those that do.
[[nodiscard]] Expected<std::string> choose_program(Instance& vm, PromoteHook hook, const std::string& wanted);

/// EINVAL: no or several programs fit; nothing compared. A difference is no error: `link` and `instance` are
/// null then, and the comparison tells. `vm` is not changed.
[[nodiscard]] Expected<Promotion> promote(Instance& vm, const PromoteOptions& options);

/// The same object on the vm, with the maps of a kernel instance as they are now.
struct Demotion {
    std::unique_ptr<Instance> instance;
    std::vector<MapCopy> maps;
};
[[nodiscard]] Expected<Demotion> demote(Instance& kernel, const CompareOptions& options);

} // namespace mimicsh::kernel
