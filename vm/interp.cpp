// SPDX-License-Identifier: MIT
// The fast interpreter, and where an operation stands in the pair lists.
#define MIMICSH_VM_TRACED 0
#include "vm/interp_loop.h"

namespace mimicsh::vm {

namespace {

constexpr OpCode kPairAlu[] = {
#define X(name, ...) OpCode::name,
    MIMICSH_VM_PAIR_ALU(X)
#undef X
};
constexpr OpCode kPairJump[] = {
#define X(name, ...) OpCode::name##_f,
    MIMICSH_VM_PAIR_JUMP(X)
#undef X
};

template <size_t N>
int index_of(const OpCode (&list)[N], OpCode code) {
    for (size_t i = 0; i < N; ++i) {
        if (list[i] == code) {
            return static_cast<int>(i);
        }
    }
    return -1;
}

} // namespace

int pair_alu_index(OpCode code) {
    return index_of(kPairAlu, code);
}
int pair_jump_index(OpCode forward_code) {
    return index_of(kPairJump, forward_code);
}
int pair_alu_count() {
    return static_cast<int>(std::size(kPairAlu));
}
int pair_jump_count() {
    return static_cast<int>(std::size(kPairJump));
}

const Labels& fast_labels() {
    static const Labels kLabels = [] {
        Labels result;
        (void)run_loop(nullptr, nullptr, nullptr, &result);
        return result;
    }();
    return kLabels;
}

bool execute(Machine& machine, const Code& code, uint32_t op) {
    return run_loop(&machine, &code, code.ops.data() + op, nullptr);
}

} // namespace mimicsh::vm
