// SPDX-License-Identifier: MIT
// Programs that device and CPU maps hold for their targets (kernel/bpf/devmap.c, cpumap.c). The kernel runs
// them on live packets only; here they run on whatever a run redirects.
#include <algorithm>
#include <cerrno>

#include "vm/interp.h"
#include "vm/maps/prog_array.h"
#include "vm/maps/redirect_map.h"
#include "vm/program.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

bool has_targets(abi::MapType type) {
    return type == abi::MapType::Devmap || type == abi::MapType::DevmapHash || type == abi::MapType::Cpumap;
}

/// Of the maps whose programs have to be alike (map_type_contains_progs; the kernel leaves devmap_hash out).
MapOwner* owner_of(VmMap& map) {
    switch (map.type()) {
    case abi::MapType::ProgArray:
        return &static_cast<ProgArray&>(map).owner;
    case abi::MapType::Devmap:
    case abi::MapType::Cpumap:
        return &static_cast<RedirectMap&>(map).owner;
    default:
        return nullptr;
    }
}

} // namespace

Status LoadedProgram::claim_maps() {
    for (const LinkedRef& ref : linked_.refs) {
        if (ref.kind != RelocKind::Map || ref.target >= machine_.maps().size()) {
            continue;
        }
        VmMap& map = *machine_.maps()[ref.target];
        MapOwner* owner = owner_of(map);
        const std::string why = owner != nullptr ? owner->claim(linked_) : std::string();
        if (!why.empty()) {
            return Error{EINVAL,
                         "load",
                         linked_.name + ": uses map " + map.info().name + ", but " + why,
                         "give programs that differ in this a map each",
                         {}};
        }
    }
    return {};
}

/// A program that waits where a redirect leads to.
struct LoadedProgram::Second {
    LoadedProgram& program;
    uint32_t interface = 0;      ///< that it sends to; 0 of a CPU
    std::optional<uint32_t> cpu; ///< that it runs on, if it is another
};

std::optional<LoadedProgram::Second> LoadedProgram::second_for(const Machine& machine,
                                                               const Redirect& redirect) {
    constexpr uint64_t kBroadcast = 8;
    const auto found = std::ranges::find_if(machine.maps(), [&](const auto& one) {
        return has_targets(one->type()) && one->info().name == redirect.map;
    });
    if (found == machine.maps().end() || (redirect.flags & kBroadcast) != 0) {
        return std::nullopt;
    }
    const auto& map = static_cast<const RedirectMap&>(**found);
    auto* program = static_cast<LoadedProgram*>(map.program(redirect.index));
    if (program == nullptr) {
        return std::nullopt;
    }
    return map.type() == abi::MapType::Cpumap ? Second{*program, 0, redirect.index}
                                              : Second{*program, map.target(redirect.index), {}};
}

void LoadedProgram::run_second(Machine& machine, const Second& second, const Code& entry) {
    // The receiving interface stays, its queue is not known any more.
    uint8_t* md = machine.context_image.data();
    store(md + offsetof(abi::XdpMd, rx_queue_index), uint32_t{0});
    store(md + offsetof(abi::XdpMd, egress_ifindex), second.interface);
    machine.cpu = second.cpu.value_or(machine.cpu);
    second.program.start_run(machine, entry);
    (void)machine.execute(machine, entry, 0);
    finish_run(machine);
}

void LoadedProgram::run_second(RunResult& result) {
    Redirect& redirect = *result.redirect;
    const auto second = second_for(machine_, redirect);
    if (!second) {
        return;
    }
    machine_.execute = execute;
    run_second(machine_, *second, second->program.code(false));
    redirect.second = SecondRun{second->program.name(), static_cast<uint32_t>(machine_.regs[0]), {}};
    context_->packet_after(machine_, redirect.second->packet);
    result.log.insert(result.log.end(), machine_.log.begin(), machine_.log.end());
    result.warnings.insert(result.warnings.end(), machine_.warnings.begin(), machine_.warnings.end());
    if (machine_.pending) {
        result.fault = make_fault(machine_, *machine_.pending, nullptr);
    }
    machine_.end_run();
}

bool LoadedProgram::run_second_of(Machine& machine, BatchItem& item, std::optional<Fault>& fault,
                                  std::vector<Warning>* warnings) {
    const auto second = second_for(machine, *machine.redirect);
    if (!second) {
        return true;
    }
    machine.end_run();
    const uint32_t cpu = machine.cpu;
    const Code* entry = nullptr;
    if (machine.concurrent) {
        const auto shared = second->program.shared_code(machine);
        if (!shared) {
            machine.fault(FaultKind::BadCall, shared.error().message());
        } else {
            entry = *shared;
        }
    } else {
        entry = &second->program.code(false);
    }
    if (entry != nullptr) {
        run_second(machine, *second, *entry);
    }
    item.second = static_cast<uint32_t>(machine.regs[0]);
    machine.cpu = cpu;
    context_->set_context(machine, {}); // for the packets that follow
    item.faulted = machine.pending.has_value();
    if (item.faulted) {
        fault = make_fault(machine, *machine.pending, nullptr);
    }
    if (warnings != nullptr) {
        add_warnings(*warnings, machine.warnings);
    }
    return !item.faulted || machine.pending->kind != FaultKind::Interrupted;
}

Status LoadedProgram::refuse_shared_cpus() const {
    for (const auto& map : machine_.maps()) {
        if (map->type() == abi::MapType::Cpumap && static_cast<const RedirectMap&>(*map).holds_programs()) {
            return Error{ENOTSUP,
                         "replay",
                         "programs in map " + map->info().name +
                             " run on its CPUs, which the workers run on themselves",
                         "replay without workers",
                         {}};
        }
    }
    return {};
}

} // namespace mimicsh::vm
