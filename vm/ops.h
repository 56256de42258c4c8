// SPDX-License-Identifier: MIT
// The interpreter's own operations: one per instruction form it executes differently, plus fused pairs. The
// lists below are the single place that names them; decoder and dispatch loop are generated from the same
// lists.
#pragma once

#include <cstdint>

#include "object/insn.h"

// X(name, operation, 64 bit, signed): `_k` takes the immediate, `_x` a register.
#define MIMICSH_VM_ALU(X)                                                                                    \
    X(mov64, op::kMov, true, false)                                                                          \
    X(mov32, op::kMov, false, false)                                                                         \
    X(add64, op::kAdd, true, false)                                                                          \
    X(add32, op::kAdd, false, false)                                                                         \
    X(sub64, op::kSub, true, false)                                                                          \
    X(sub32, op::kSub, false, false)                                                                         \
    X(mul64, op::kMul, true, false)                                                                          \
    X(mul32, op::kMul, false, false)                                                                         \
    X(div64, op::kDiv, true, false)                                                                          \
    X(div32, op::kDiv, false, false)                                                                         \
    X(sdiv64, op::kDiv, true, true)                                                                          \
    X(sdiv32, op::kDiv, false, true)                                                                         \
    X(mod64, op::kMod, true, false)                                                                          \
    X(mod32, op::kMod, false, false)                                                                         \
    X(smod64, op::kMod, true, true)                                                                          \
    X(smod32, op::kMod, false, true)                                                                         \
    X(or64, op::kOr, true, false)                                                                            \
    X(or32, op::kOr, false, false)                                                                           \
    X(and64, op::kAnd, true, false)                                                                          \
    X(and32, op::kAnd, false, false)                                                                         \
    X(xor64, op::kXor, true, false)                                                                          \
    X(xor32, op::kXor, false, false)                                                                         \
    X(lsh64, op::kLsh, true, false)                                                                          \
    X(lsh32, op::kLsh, false, false)                                                                         \
    X(rsh64, op::kRsh, true, false)                                                                          \
    X(rsh32, op::kRsh, false, false)                                                                         \
    X(arsh64, op::kArsh, true, false)                                                                        \
    X(arsh32, op::kArsh, false, false)

// X(name, operation, 64 bit): `_k` and `_x`, each forward (`_f`) and backward (`_b`, which counts the
// budget).
#define MIMICSH_VM_JUMP(X)                                                                                   \
    X(jeq64, op::kJeq, true)                                                                                 \
    X(jeq32, op::kJeq, false)                                                                                \
    X(jne64, op::kJne, true)                                                                                 \
    X(jne32, op::kJne, false)                                                                                \
    X(jgt64, op::kJgt, true)                                                                                 \
    X(jgt32, op::kJgt, false)                                                                                \
    X(jge64, op::kJge, true)                                                                                 \
    X(jge32, op::kJge, false)                                                                                \
    X(jlt64, op::kJlt, true)                                                                                 \
    X(jlt32, op::kJlt, false)                                                                                \
    X(jle64, op::kJle, true)                                                                                 \
    X(jle32, op::kJle, false)                                                                                \
    X(jset64, op::kJset, true)                                                                               \
    X(jset32, op::kJset, false)                                                                              \
    X(jsgt64, op::kJsgt, true)                                                                               \
    X(jsgt32, op::kJsgt, false)                                                                              \
    X(jsge64, op::kJsge, true)                                                                               \
    X(jsge32, op::kJsge, false)                                                                              \
    X(jslt64, op::kJslt, true)                                                                               \
    X(jslt32, op::kJslt, false)                                                                              \
    X(jsle64, op::kJsle, true)                                                                               \
    X(jsle32, op::kJsle, false)

// X(name, type): widths of loads and stores.
#define MIMICSH_VM_SIZE(X)                                                                                   \
    X(8, uint8_t)                                                                                            \
    X(16, uint16_t)                                                                                          \
    X(32, uint32_t)                                                                                          \
    X(64, uint64_t)

// X(load, store, store of an immediate, type, where): accesses through a register. Those named `p` expect the
// packet and look at Machine::window first, the others at the region table; both reach everything.
#define MIMICSH_VM_ACCESS(X, ...)                                                                            \
    X(ldx8, stx8, st8, uint8_t, Any, __VA_ARGS__)                                                            \
    X(ldx16, stx16, st16, uint16_t, Any, __VA_ARGS__)                                                        \
    X(ldx32, stx32, st32, uint32_t, Any, __VA_ARGS__)                                                        \
    X(ldx64, stx64, st64, uint64_t, Any, __VA_ARGS__)                                                        \
    X(ldp8, stp8, sti8, uint8_t, Packet, __VA_ARGS__)                                                        \
    X(ldp16, stp16, sti16, uint16_t, Packet, __VA_ARGS__)                                                    \
    X(ldp32, stp32, sti32, uint32_t, Packet, __VA_ARGS__)                                                    \
    X(ldp64, stp64, sti64, uint64_t, Packet, __VA_ARGS__)

#define MIMICSH_VM_SIGNED_SIZE(X)                                                                            \
    X(8, int8_t)                                                                                             \
    X(16, int16_t)                                                                                           \
    X(32, int32_t)

// X(name): everything that is one operation.
#define MIMICSH_VM_SINGLE(X)                                                                                 \
    X(neg64)                                                                                                 \
    X(neg32)                                                                                                 \
    X(movsx8_64)                                                                                             \
    X(movsx16_64)                                                                                            \
    X(movsx32_64)                                                                                            \
    X(movsx8_32)                                                                                             \
    X(movsx16_32)                                                                                            \
    X(le16)                                                                                                  \
    X(le32)                                                                                                  \
    X(le64)                                                                                                  \
    X(swap16)                                                                                                \
    X(swap32)                                                                                                \
    X(swap64)                                                                                                \
    X(lddw)                                                                                                  \
    X(ctx_load)                                                                                              \
    X(ctx_number8)                                                                                           \
    X(ctx_number16)                                                                                          \
    X(ctx_number32)                                                                                          \
    X(ctx_number64)                                                                                          \
    X(ctx_load_two)                                                                                          \
    X(exit_with)                                                                                             \
    X(exit_with_64)                                                                                          \
    X(exit_with_32)                                                                                          \
    X(check_bounds)                                                                                          \
    X(load_two_bytes)                                                                                        \
    X(load_two_bytes_jne)                                                                                    \
    X(store_two_bytes)                                                                                       \
    X(copy_two_bytes)                                                                                        \
    X(load_be16)                                                                                             \
    X(load_be32)                                                                                             \
    X(load_test8)                                                                                            \
    X(load_test16)                                                                                           \
    X(load_test32)                                                                                           \
    X(lookup)                                                                                                \
    X(lookup_stack)                                                                                          \
    X(lookup_stack_null)                                                                                     \
    X(atomic)                                                                                                \
    X(load_packet)                                                                                           \
    X(prove)                                                                                                 \
    X(ja_f)                                                                                                  \
    X(ja_b)                                                                                                  \
    X(may_goto)                                                                                              \
    X(call_helper)                                                                                           \
    X(call_local)                                                                                            \
    X(tail_call)                                                                                             \
    X(refused)                                                                                               \
    X(exit)

// Operands of fused pairs, as X(name, whatever was passed on). The sets follow what clang emits most in
// packet programs.
// Sanitizers make every handler several times as large, and a compiler takes minutes over all pairs then: a
// few stand for the rest.
#ifdef __SANITIZE_ADDRESS__
#define MIMICSH_VM_FEW_PAIRS
#endif

#ifdef MIMICSH_VM_FEW_PAIRS
#define MIMICSH_VM_PAIR_ALU(X, ...)                                                                          \
    X(mov64_x, __VA_ARGS__)                                                                                  \
    X(add64_k, __VA_ARGS__)                                                                                  \
    X(lsh32_k, __VA_ARGS__)
#define MIMICSH_VM_PAIR_JUMP(X, ...)                                                                         \
    X(jeq64_k, __VA_ARGS__)                                                                                  \
    X(jgt64_x, __VA_ARGS__)
#else
#define MIMICSH_VM_PAIR_ALU(X, ...)                                                                          \
    X(mov64_x, __VA_ARGS__)                                                                                  \
    X(mov32_x, __VA_ARGS__)                                                                                  \
    X(mov32_k, __VA_ARGS__)                                                                                  \
    X(add64_k, __VA_ARGS__)                                                                                  \
    X(add64_x, __VA_ARGS__)                                                                                  \
    X(add32_k, __VA_ARGS__)                                                                                  \
    X(add32_x, __VA_ARGS__)                                                                                  \
    X(and64_k, __VA_ARGS__)                                                                                  \
    X(and32_k, __VA_ARGS__)                                                                                  \
    X(or32_x, __VA_ARGS__)                                                                                   \
    X(xor64_x, __VA_ARGS__)                                                                                  \
    X(xor32_k, __VA_ARGS__)                                                                                  \
    X(lsh64_k, __VA_ARGS__)                                                                                  \
    X(lsh32_k, __VA_ARGS__)                                                                                  \
    X(rsh64_k, __VA_ARGS__)                                                                                  \
    X(rsh32_k, __VA_ARGS__)

#define MIMICSH_VM_PAIR_JUMP(X, ...)                                                                         \
    X(jeq64_k, __VA_ARGS__)                                                                                  \
    X(jne64_k, __VA_ARGS__)                                                                                  \
    X(jeq32_k, __VA_ARGS__)                                                                                  \
    X(jne32_k, __VA_ARGS__)                                                                                  \
    X(jgt32_k, __VA_ARGS__)                                                                                  \
    X(jlt32_k, __VA_ARGS__)                                                                                  \
    X(jgt64_x, __VA_ARGS__)                                                                                  \
    X(jlt64_x, __VA_ARGS__)                                                                                  \
    X(jne64_x, __VA_ARGS__)
#endif

namespace mimicsh::vm {

enum class OpCode : uint16_t {
#define X(name, ...) name##_k, name##_x,
    MIMICSH_VM_ALU(X)
#undef X
#define X(name, ...) name##_k_f, name##_k_b, name##_x_f, name##_x_b,
        MIMICSH_VM_JUMP(X)
#undef X
#define X(load, store, store_imm, ...) load, store, store_imm,
            MIMICSH_VM_ACCESS(X)
#undef X
#define X(bits, type) load_stack##bits, store_stack##bits, store_stack_imm##bits,
                MIMICSH_VM_SIZE(X)
#undef X
#define X(bits, type) ldsx##bits,
                    MIMICSH_VM_SIGNED_SIZE(X)
#undef X
#define X(name) name,
                        MIMICSH_VM_SINGLE(X)
#undef X
                            count
};

/// One decoded operation. Single operations use dst, src and either `a` (offset or 32-bit immediate) or a and
/// b as the halves of a 64-bit immediate; a fused pair's second half uses dst2, src2 and b. `c` is the
/// distance in bytes to the operation a jump goes to, and the number of the helper that is called.
struct Op {
    const void* label = nullptr;
    uint8_t dst = 0;
    uint8_t src = 0;
    uint8_t dst2 = 0;
    uint8_t src2 = 0;
    int32_t a = 0;
    int32_t b = 0;
    int32_t c = 0;
};
static_assert(sizeof(Op) == 24);

} // namespace mimicsh::vm
