// SPDX-License-Identifier: MIT
// The steps of a promotion, in the order in which they can still be taken back.
#include "kernel/promote.h"

#include <cerrno>

#include "kernel/target.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "promote";

bool fits(PromoteHook hook, const Program& program) {
    const abi::ProgType type = program.type();
    return hook == PromoteHook::Xdp ? type == abi::ProgType::Xdp && is_for_devices(program)
                                    : type == abi::ProgType::SchedCls || type == abi::ProgType::SchedAct;
}

} // namespace

Expected<std::string> choose_program(Instance& vm, PromoteHook hook, const std::string& wanted) {
    std::string names;
    std::string only;
    size_t count = 0;
    for (const Program* program : vm.programs()) {
        if (!fits(hook, *program)) {
            continue;
        }
        if (program->name() == wanted) {
            return wanted;
        }
        only = program->name();
        names += (names.empty() ? "" : ", ") + only;
        ++count;
    }
    if (!wanted.empty()) {
        return Error{EINVAL,
                     kOp,
                     "no program '" + wanted + "' for this hook",
                     names.empty() ? "" : "for this hook: " + names,
                     {}};
    }
    if (count != 1) {
        return Error{EINVAL,
                     kOp,
                     count == 0 ? "no program for this hook" : "several programs fit this hook",
                     count == 0 ? "hook= is \"xdp\", \"tc-ingress\" or \"tc-egress\""
                                : "prog= one of " + names,
                     {}};
    }
    return only;
}

Expected<Promotion> promote(Instance& vm, const PromoteOptions& options) {
    auto name = choose_program(vm, options.hook, options.program);
    if (!name) {
        return name.error();
    }
    if (options.packets.empty() && !options.force) {
        return Error{EINVAL,
                     kOp,
                     "nothing compared: " + *name + " has not run on any packet",
                     "give pcap= or packets=, or force=true to go without",
                     {}};
    }
    // What is checked first is what is cheap to be told: the device, the verifier's opinion.
    Promotion result;
    result.program = *name;
    auto load = with_contents(vm, options.compare.load);
    if (!load) {
        return load.error();
    }
    auto live = make_target()->load(vm.object(), *load);
    if (!live) {
        return live.error();
    }
    if (!options.packets.empty()) {
        auto compared = compare(vm, *name, options.packets, options.compare);
        if (!compared) {
            return compared.error();
        }
        result.comparison = std::move(*compared);
        if (result.comparison.interrupted || (!options.force && result.comparison.different != 0)) {
            return result;
        }
    }
    auto copied = copy_maps(vm, **live, options.without_maps);
    if (!copied) {
        return copied.error();
    }
    result.maps = std::move(*copied);
    Program& program = *(*live)->find_program(*name);
    TcOptions tc = options.tc;
    tc.direction = options.hook == PromoteHook::TcEgress ? Direction::Egress : Direction::Ingress;
    auto link = options.hook == PromoteHook::Xdp ? attach_xdp(program, options.device, options.xdp)
                                                 : attach_tc(program, options.device, tc);
    if (!link) {
        return link.error();
    }
    result.link = std::move(*link);
    result.instance = std::move(*live);
    return result;
}

Expected<Demotion> demote(Instance& kernel, const CompareOptions& options) {
    auto load = with_contents(kernel, options.load);
    if (!load) {
        return load.error();
    }
    auto vm = options.load_on_vm(kernel.object(), *load, 0);
    if (!vm) {
        return vm.error();
    }
    auto copied = copy_maps(kernel, **vm, {});
    if (!copied) {
        return copied.error();
    }
    return Demotion{std::move(*vm), std::move(*copied)};
}

} // namespace mimicsh::kernel
