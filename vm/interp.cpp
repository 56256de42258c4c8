// SPDX-License-Identifier: MIT
// The fast interpreter, and where an operation stands in the pair lists.
#define MIMICSH_VM_TRACED 0
#include "vm/interp_loop.h"

#include <array>

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

constexpr size_t kCodes = static_cast<size_t>(OpCode::count);

/// By operation: its place in a list, -1 for those not in it. Each pair of each program is looked up.
template <size_t N>
constexpr std::array<int8_t, kCodes> places(const OpCode (&list)[N]) {
    static_assert(N < 128);
    std::array<int8_t, kCodes> places{};
    places.fill(-1);
    for (size_t i = 0; i < N; ++i) {
        places[static_cast<size_t>(list[i])] = static_cast<int8_t>(i);
    }
    return places;
}
constexpr auto kAluPlaces = places(kPairAlu);
constexpr auto kJumpPlaces = places(kPairJump);

} // namespace

int pair_alu_index(OpCode code) {
    return kAluPlaces[static_cast<size_t>(code)];
}
int pair_jump_index(OpCode forward_code) {
    return kJumpPlaces[static_cast<size_t>(forward_code)];
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
