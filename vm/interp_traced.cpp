// SPDX-License-Identifier: MIT
// The interpreter that reports every instruction before it executes it.
#define MIMICSH_VM_TRACED 1
#include "vm/interp_loop.h"

namespace mimicsh::vm {

const Labels& traced_labels() {
    static const Labels kLabels = [] {
        Labels result;
        (void)run_loop(nullptr, nullptr, nullptr, &result);
        return result;
    }();
    return kLabels;
}

bool execute_traced(Machine& machine, const Code& code, uint32_t op) {
    return run_loop(&machine, &code, code.ops.data() + op, nullptr);
}

} // namespace mimicsh::vm
