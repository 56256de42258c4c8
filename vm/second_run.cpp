// SPDX-License-Identifier: MIT
// Programs that device and CPU maps hold for their targets (kernel/bpf/devmap.c, cpumap.c). The kernel runs
// them on live packets only; here they run on what a single run redirects.
#include <algorithm>
#include <cerrno>

#include "vm/interp.h"
#include "vm/maps/redirect_map.h"
#include "vm/program.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

bool has_targets(abi::MapType type) {
    return type == abi::MapType::Devmap || type == abi::MapType::DevmapHash || type == abi::MapType::Cpumap;
}

} // namespace

Status LoadedProgram::claim_maps() {
    for (const LinkedRef& ref : linked_.refs) {
        if (ref.kind != RelocKind::Map || ref.target >= machine_.maps().size()) {
            continue;
        }
        VmMap& map = *machine_.maps()[ref.target];
        // The kernel leaves devmap_hash out.
        const bool checked = map.type() == abi::MapType::Devmap || map.type() == abi::MapType::Cpumap;
        if (checked && !static_cast<RedirectMap&>(map).claim(*this)) {
            return Error{EINVAL,
                         "load",
                         linked_.name + ": uses map " + map.info().name +
                             " together with programs of which some take fragments and some do not",
                         "give all of them SEC(\"xdp.frags\") or none",
                         {}};
        }
    }
    return {};
}

void LoadedProgram::run_second(RunResult& result) {
    constexpr uint64_t kBroadcast = 8;
    Redirect& redirect = *result.redirect;
    const auto found = std::ranges::find_if(machine_.maps(), [&](const auto& map) {
        return has_targets(map->type()) && map->info().name == redirect.map;
    });
    if (found == machine_.maps().end() || (redirect.flags & kBroadcast) != 0) {
        return;
    }
    const auto& map = static_cast<const RedirectMap&>(**found);
    auto* second = static_cast<LoadedProgram*>(map.program(redirect.index));
    if (second == nullptr) {
        return;
    }
    // The receiving interface stays, its queue is not known any more.
    uint8_t* md = machine_.context_image.data();
    store(md + offsetof(abi::XdpMd, rx_queue_index), uint32_t{0});
    store(md + offsetof(abi::XdpMd, egress_ifindex),
          map.type() == abi::MapType::Cpumap ? 0 : map.target(redirect.index));
    machine_.execute = execute;
    const Code& entry = second->code(false);
    second->start_run(machine_, entry);
    (void)machine_.execute(machine_, entry, 0);
    machine_.finish_run();
    redirect.second = SecondRun{second->name(), static_cast<uint32_t>(machine_.regs[0]), {}};
    context_->packet_after(machine_, redirect.second->packet);
    result.log.insert(result.log.end(), machine_.log.begin(), machine_.log.end());
    result.warnings.insert(result.warnings.end(), machine_.warnings.begin(), machine_.warnings.end());
    if (machine_.pending) {
        result.fault = make_fault(machine_, *machine_.pending, nullptr);
    }
    machine_.end_run();
}

} // namespace mimicsh::vm
