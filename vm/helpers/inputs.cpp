// SPDX-License-Identifier: MIT
// Noting the results of calls that differ by nature, for whoever wants another target to get the same.
#include "vm/context/captured.h"
#include "vm/helpers/helpers.h"
#include "vm/program.h"
#include "vm/support.h"

namespace mimicsh::vm {

uint64_t helper_noted_input(Machine& machine, const uint64_t* args) {
    const uint32_t slot = machine.code->slot_of(machine.at);
    const LoadedProgram& loaded = *machine.code->program;
    const LinkedProgram& program = loaded.linked();
    const auto id = static_cast<uint32_t>(program.insns[slot].imm);
    const uint64_t value = machine.options.helpers.contains(id) ? helper_from_outside(machine, args)
                           : loaded.replay() != nullptr         ? replayed_call(machine, args)
                                                                : helper_function(id)(machine, args);
    if (!machine.faulted()) {
        const LinkedFunction& function = program.functions[program.function_at(slot)];
        machine.inputs.push_back({function.index, slot - function.insn, id, value});
    }
    return value;
}

} // namespace mimicsh::vm
