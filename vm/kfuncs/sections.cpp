// SPDX-License-Identifier: MIT
// Sections that a program enters and has to leave: RCU read side, disabled preemption. One emulated CPU runs
// to completion, so only the balance matters.
#include <algorithm>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

uint64_t enter(Machine& machine, const char* kind) {
    machine.note_effect();
    machine.sections.push_back({kind, machine.code->slot_of(machine.at), 0});
    return 0;
}

uint64_t leave(Machine& machine, const char* kind, const char* helper) {
    if (!spend_on(machine, machine.sections.size())) {
        return 0;
    }
    const auto open = std::find_if(machine.sections.rbegin(), machine.sections.rend(),
                                   [&](const Section& section) { return section.kind == kind; });
    if (open == machine.sections.rend()) {
        return machine.fault(FaultKind::BadCall, std::string(helper) + ": no " + kind + " was entered");
    }
    machine.sections.erase(std::next(open).base());
    return 0;
}

constexpr const char* kRcu = "RCU read section";
constexpr const char* kPreempt = "section without preemption";

} // namespace

uint64_t kfunc_rcu_read_lock(Machine& machine, const uint64_t*) {
    return enter(machine, kRcu);
}
uint64_t kfunc_rcu_read_unlock(Machine& machine, const uint64_t*) {
    return leave(machine, kRcu, "bpf_rcu_read_unlock");
}
uint64_t kfunc_preempt_disable(Machine& machine, const uint64_t*) {
    return enter(machine, kPreempt);
}
uint64_t kfunc_preempt_enable(Machine& machine, const uint64_t*) {
    return leave(machine, kPreempt, "bpf_preempt_enable");
}

} // namespace mimicsh::vm
