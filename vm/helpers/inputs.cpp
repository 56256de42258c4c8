// SPDX-License-Identifier: MIT
// Calls whose results differ by nature: noted for whoever wants another target to get the same.
#include "vm/context/captured.h"
#include "vm/helpers/helpers.h"
#include "vm/program.h"
#include "vm/support.h"

namespace mimicsh::vm {

uint64_t helper_of_input(Machine& machine, const uint64_t* args) {
    const auto id = static_cast<uint32_t>(machine.at->c);
    const LoadedProgram& loaded = *machine.code->program;
    const uint64_t value = machine.options.helpers.contains(id) ? helper_from_outside(machine, args)
                           : loaded.replay() != nullptr         ? replayed_call(machine, args)
                                                                : helper_function(id)(machine, args);
    if (machine.records_inputs && !machine.faulted()) {
        const uint32_t slot = machine.code->slot_of(machine.at);
        const LinkedProgram& program = loaded.linked();
        const LinkedFunction& function = program.functions[program.function_at(slot)];
        machine.note_effect(sizeof(InputCall));
        machine.inputs.push_back({function.index, slot - function.insn, id, value});
    }
    return value;
}

} // namespace mimicsh::vm
