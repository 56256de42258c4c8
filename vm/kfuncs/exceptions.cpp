// SPDX-License-Identifier: MIT
// bpf_throw (kernel/bpf/helpers.c): ends the program from any depth of calls.
#include <algorithm>

#include "vm/guards.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

/// What the kernel does not let a program throw with; empty when nothing is open.
std::string left_open(const Machine& machine) {
    if (machine.held_lock) {
        return lock_text(*machine.held_lock) + " is held";
    }
    if (!machine.sections.empty()) {
        return std::string("a ") + machine.sections.back().kind + " is not left";
    }
    if (!machine.iterators.empty()) {
        return "an iterator is not destroyed";
    }
    return machine.open_references.empty() ? std::string() : "a reference is not given back";
}

} // namespace

uint64_t kfunc_throw(Machine& machine, const uint64_t* args) {
    if (const std::string what = left_open(machine); !what.empty()) {
        return machine.fault(FaultKind::Strict, "bpf_throw: " + what,
                             "give back and unlock everything before the call");
    }
    const auto* below = machine.frames.begin();
    if (machine.async.advancing || std::any_of(below, below + machine.depth, [](const Frame& frame) {
            return frame.return_to == nullptr;
        })) {
        return machine.fault(FaultKind::Strict, "bpf_throw: callbacks may not throw");
    }
    if (machine.own_frames() != machine.depth + 1) {
        return machine.fault(FaultKind::BadCall,
                             "bpf_throw: not emulated in a program that a subprogram tail-called");
    }
    // What a fault does to the interpreter is what unwinding has to do.
    machine.fault(FaultKind::BadCall, "bpf_throw");
    machine.thrown = args[0];
    return 0;
}

} // namespace mimicsh::vm
