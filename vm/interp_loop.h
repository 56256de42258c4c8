// SPDX-License-Identifier: MIT
// The dispatch loop, as text for two translation units: interp.cpp (fast, with fused pairs) and
// interp_traced.cpp (one operation per instruction, reported to the tracer). Exactly those two include it,
// after defining MIMICSH_VM_TRACED. One function by design: direct threading needs all handlers in one place.
#pragma once

#include <cstring>

#include "vm/interp.h"
#include "vm/program.h"
#include "vm/semantics.h"
#include "vm/trace.h"

// Labels as values are a GNU extension that both supported compilers have.
#pragma GCC diagnostic ignored "-Wpedantic"

namespace mimicsh::vm {

namespace {

using Sem = Semantics<ValueOps>;

// -- Bodies by name, so that single and fused handlers share them --

constexpr uint64_t sign_extend(int32_t imm) {
    return static_cast<uint64_t>(int64_t{imm});
}

#define X(name, operation, wide, is_signed)                                                                  \
    struct name##_k {                                                                                        \
        static void run(uint64_t* r, uint8_t dst, uint8_t, int32_t imm) {                                    \
            r[dst] = Sem::alu<operation, wide, is_signed>(r[dst], sign_extend(imm));                         \
        }                                                                                                    \
    };                                                                                                       \
    struct name##_x {                                                                                        \
        static void run(uint64_t* r, uint8_t dst, uint8_t src, int32_t) {                                    \
            r[dst] = Sem::alu<operation, wide, is_signed>(r[dst], r[src]);                                   \
        }                                                                                                    \
    };
MIMICSH_VM_ALU(X)
#undef X

#define X(name, operation, wide)                                                                             \
    struct name##_k {                                                                                        \
        static bool taken(const uint64_t* r, uint8_t dst, uint8_t, int32_t imm) {                            \
            return Sem::jump<operation, wide>(r[dst], sign_extend(imm));                                     \
        }                                                                                                    \
    };                                                                                                       \
    struct name##_x {                                                                                        \
        static bool taken(const uint64_t* r, uint8_t dst, uint8_t src, int32_t) {                            \
            return Sem::jump<operation, wide>(r[dst], r[src]);                                               \
        }                                                                                                    \
    };
MIMICSH_VM_JUMP(X)
#undef X

/// A loaded value as a register holds it: extended by its sign where the type has one.
template <typename T>
constexpr uint64_t widen(uint64_t value) {
    if constexpr (std::is_signed_v<T>) {
        return static_cast<uint64_t>(static_cast<int64_t>(static_cast<T>(value)));
    } else {
        return value;
    }
}

template <typename T>
constexpr size_t log2_of = sizeof(T) == 1   ? 0
                           : sizeof(T) == 2 ? 1
                           : sizeof(T) == 4 ? 2
                                            : 3;

/// The fast path of a load: one table row, one compare, in 64 bits so that the sum cannot wrap.
template <typename T>
inline __attribute__((always_inline)) bool fast_load(const Region* regions, uint32_t count, uint64_t addr,
                                                     uint64_t& value) {
    const auto handle = static_cast<uint32_t>(addr >> 32);
    if (handle >= count) [[unlikely]] {
        return false;
    }
    const Region& region = regions[handle];
    const uint32_t q = static_cast<uint32_t>(addr) - region.base;
    if (uint64_t{q} + sizeof(T) > region.load_limit) [[unlikely]] {
        return false;
    }
    value = widen<T>(static_cast<uint64_t>(mimicsh::load<T>(region.host + q)));
    return true;
}

template <typename T>
inline __attribute__((always_inline)) bool fast_store(const Region* regions, uint32_t count, uint64_t addr,
                                                      uint64_t value) {
    const auto handle = static_cast<uint32_t>(addr >> 32);
    if (handle >= count) [[unlikely]] {
        return false;
    }
    const Region& region = regions[handle];
    const uint32_t q = static_cast<uint32_t>(addr) - region.base;
    if (uint64_t{q} + sizeof(T) > region.store_limit) [[unlikely]] {
        return false;
    }
    mimicsh::store<T>(region.host + q, static_cast<T>(value));
    return true;
}

/// The same for what is expected to be the packet.
template <typename T>
inline __attribute__((always_inline)) bool fast_load_packet(const PacketWindow& window, uint64_t addr,
                                                            uint64_t& value) {
    const uint64_t at = addr - window.address;
    if (at >= window.starts[log2_of<T>]) [[unlikely]] {
        return false;
    }
    value = static_cast<uint64_t>(mimicsh::load<T>(window.host + at));
    return true;
}

template <typename T>
inline __attribute__((always_inline)) bool fast_store_packet(const PacketWindow& window, uint64_t addr,
                                                             uint64_t value) {
    const uint64_t at = addr - window.address;
    if (at >= window.starts[log2_of<T>]) [[unlikely]] {
        return false;
    }
    mimicsh::store<T>(window.host + at, static_cast<T>(value));
    return true;
}

inline void stack_written(Machine& machine, uint32_t offset, uint32_t size) {
    if ((offset & 63) + size <= 64) [[likely]] {
        machine.stack_init[machine.depth][offset / 64] |= Machine::init_mask(offset, size);
    } else {
        machine.mark_initialised(machine.depth, offset, size);
    }
}

// -- Nested expansion of the pair lists (a macro list cannot expand inside itself without this detour) --

#define VM_EMPTY()
#define VM_DEFER(id) id VM_EMPTY()
#define VM_EXPAND(...) __VA_ARGS__
#define VM_PAIR_ALU_LIST() MIMICSH_VM_PAIR_ALU
#define VM_PAIR_JUMP_LIST() MIMICSH_VM_PAIR_JUMP
#define VM_ACCESS_LIST() MIMICSH_VM_ACCESS

// -- The loop --

#if MIMICSH_VM_TRACED
#define VM_DISPATCH() goto dispatch
#else
#define VM_DISPATCH() goto * op->label
#endif

#define NEXT()                                                                                               \
    do {                                                                                                     \
        ++op;                                                                                                \
        VM_DISPATCH();                                                                                       \
    } while (0)

#define JUMP(distance)                                                                                       \
    do {                                                                                                     \
        op = reinterpret_cast<const Op*>(reinterpret_cast<const char*>(op) + (distance));                    \
        VM_DISPATCH();                                                                                       \
    } while (0)

#define TICK()                                                                                               \
    do {                                                                                                     \
        if (--ticks == 0) [[unlikely]] {                                                                     \
            machine.at = op;                                                                                 \
            if (!machine.refill(ticks)) {                                                                    \
                return false;                                                                                \
            }                                                                                                \
        }                                                                                                    \
    } while (0)

// The fast path of an access: through the region table, or through the window on the packet. The slow path
// has a variable of its own: one whose address is taken would live in memory on the fast path too.
#define FAST_LOAD_Any(type, addr, value) fast_load<type>(regions, region_count, addr, value)
#define FAST_LOAD_Packet(type, addr, value) fast_load_packet<type>(machine.window, addr, value)
#define FAST_STORE_Any(type, addr, value) fast_store<type>(regions, region_count, addr, value)
#define FAST_STORE_Packet(type, addr, value) fast_store_packet<type>(machine.window, addr, value)

#define LOAD_VALUE(where, type, value, src, off)                                                             \
    uint64_t value;                                                                                          \
    do {                                                                                                     \
        const uint64_t addr = r[src] + sign_extend(off);                                                     \
        if (!FAST_LOAD_##where(type, addr, value)) [[unlikely]] {                                            \
            uint64_t slow;                                                                                   \
            machine.at = op;                                                                                 \
            if (!machine.load(addr, sizeof(type), slow)) {                                                   \
                return false;                                                                                \
            }                                                                                                \
            value = widen<type>(slow);                                                                       \
        }                                                                                                    \
    } while (0)

#define LOAD(where, type, dst, src, off)                                                                     \
    do {                                                                                                     \
        LOAD_VALUE(where, type, loaded, src, off);                                                           \
        r[dst] = loaded;                                                                                     \
    } while (0)

#define STORE(where, type, dst, off, what)                                                                   \
    do {                                                                                                     \
        const uint64_t addr = r[dst] + sign_extend(off);                                                     \
        const uint64_t value = (what);                                                                       \
        if (!FAST_STORE_##where(type, addr, value)) [[unlikely]] {                                           \
            machine.at = op;                                                                                 \
            if (!machine.store(addr, sizeof(type), value)) {                                                 \
                return false;                                                                                \
            }                                                                                                \
        }                                                                                                    \
    } while (0)

bool run_loop(Machine* self, const Code* code, const Op* op, Labels* give_labels) {
    static const void* const kSingle[] = {
#define X(name, ...) &&do_##name##_k, &&do_##name##_x,
        MIMICSH_VM_ALU(X)
#undef X
#define X(name, ...) &&do_##name##_k_f, &&do_##name##_k_b, &&do_##name##_x_f, &&do_##name##_x_b,
            MIMICSH_VM_JUMP(X)
#undef X
#define X(load, store, store_imm, ...) &&do_##load, &&do_##store, &&do_##store_imm,
                MIMICSH_VM_ACCESS(X)
#undef X
#define X(bits, type) &&do_load_stack##bits, &&do_store_stack##bits, &&do_store_stack_imm##bits,
                    MIMICSH_VM_SIZE(X)
#undef X
#define X(bits, type) &&do_ldsx##bits,
                        MIMICSH_VM_SIGNED_SIZE(X)
#undef X
#define X(name) &&do_##name,
                            MIMICSH_VM_SINGLE(X)
#undef X
    };
#if !MIMICSH_VM_TRACED
    static const void* const kAluAlu[] = {
#define Y(second, first) &&do_##first##_then_##second,
#define X(first, ...) VM_DEFER(VM_PAIR_ALU_LIST)()(Y, first)
        VM_EXPAND(MIMICSH_VM_PAIR_ALU(X))
#undef X
#undef Y
    };
    static const void* const kAluJump[] = {
#define Y(second, first) &&do_##first##_then_##second##_f, &&do_##first##_then_##second##_b,
#define X(first, ...) VM_DEFER(VM_PAIR_JUMP_LIST)()(Y, first)
        VM_EXPAND(MIMICSH_VM_PAIR_ALU(X))
#undef X
#undef Y
    };
    static const void* const kAluLoad[] = {
#define Y(load, store, store_imm, type, where, first, ...) &&do_##first##_then_##load,
#define X(first, ...) VM_DEFER(VM_ACCESS_LIST)()(Y, first)
        VM_EXPAND(MIMICSH_VM_PAIR_ALU(X))
#undef X
#undef Y
    };
    static const void* const kLoadAlu[] = {
#define Y(second, first) &&do_##first##_then_##second,
#define X(load, ...) VM_DEFER(VM_PAIR_ALU_LIST)()(Y, load)
        VM_EXPAND(MIMICSH_VM_ACCESS(X))
#undef X
#undef Y
    };
    static const void* const kLoadJump[] = {
#define Y(second, first) &&do_##first##_then_##second##_f, &&do_##first##_then_##second##_b,
#define X(load, ...) VM_DEFER(VM_PAIR_JUMP_LIST)()(Y, load)
        VM_EXPAND(MIMICSH_VM_ACCESS(X))
#undef X
#undef Y
    };
    static const void* const kLoadLoad[] = {
#define X(load, store, store_imm, type, where, ...)                                                          \
    &&do_##load##_then_8, &&do_##load##_then_16, &&do_##load##_then_32, &&do_##load##_then_64,
        MIMICSH_VM_ACCESS(X)
#undef X
    };
    static const void* const kAluStore[] = {
#define Y(load, store, store_imm, type, where, first, ...) &&do_##first##_then_##store,
#define X(first, ...) VM_DEFER(VM_ACCESS_LIST)()(Y, first)
        VM_EXPAND(MIMICSH_VM_PAIR_ALU(X))
#undef X
#undef Y
    };
    static const void* const kLoadStore[] = {
#define X(load, store, ...) &&do_##load##_then_##store,
        MIMICSH_VM_ACCESS(X)
#undef X
    };
    static const void* const kStoreStore[] = {
#define X(load, store, ...)                                                                                  \
    &&do_##store##_then_8, &&do_##store##_then_16, &&do_##store##_then_32, &&do_##store##_then_64,
        MIMICSH_VM_ACCESS(X)
#undef X
    };
    static const void* const kProveJump[] = {
#define X(name) &&do_prove_then_##name##_f, &&do_prove_then_##name##_b,
        X(jgt64_x) X(jge64_x) X(jlt64_x) X(jle64_x)
#undef X
    };
#endif
    if (give_labels != nullptr) {
        give_labels->single = kSingle;
#if !MIMICSH_VM_TRACED
        *give_labels = {kSingle,   kAluAlu,   kAluJump,   kAluLoad,    kLoadAlu,  kLoadJump,
                        kLoadLoad, kAluStore, kLoadStore, kStoreStore, kProveJump};
#endif
        return true;
    }

    Machine& machine = *self;
    uint64_t* const r = machine.regs.data();
    const Region* regions = machine.regions.data();
    uint32_t region_count = machine.regions.size();
    const uint32_t entry_depth = machine.depth;
    uint32_t ticks = 1;
    machine.code = code;
    VM_DISPATCH();

#if MIMICSH_VM_TRACED
dispatch:
    machine.at = op;
    machine.tracer->before(machine, code->slot_of(op));
    goto * op->label;
#endif

    // -- Arithmetic --
#define X(name, ...)                                                                                         \
    do_##name##_k : name##_k::run(r, op->dst, op->src, op->a);                                               \
    NEXT();                                                                                                  \
    do_##name##_x : name##_x::run(r, op->dst, op->src, op->a);                                               \
    NEXT();
    MIMICSH_VM_ALU(X)
#undef X
#if !MIMICSH_VM_TRACED
#define Y(second, first)                                                                                     \
    do_##first##_then_##second : first::run(r, op->dst, op->src, op->a);                                     \
    second::run(r, op->dst2, op->src2, op->b);                                                               \
    NEXT();
#define X(first, ...) VM_DEFER(VM_PAIR_ALU_LIST)()(Y, first)
    VM_EXPAND(MIMICSH_VM_PAIR_ALU(X))
#undef X
#undef Y
#endif
do_neg64:
    r[op->dst] = Sem::neg<true>(r[op->dst]);
    NEXT();
do_neg32:
    r[op->dst] = Sem::neg<false>(r[op->dst]);
    NEXT();
do_movsx8_64:
    r[op->dst] = Sem::movsx<8, true>(r[op->src]);
    NEXT();
do_movsx16_64:
    r[op->dst] = Sem::movsx<16, true>(r[op->src]);
    NEXT();
do_movsx32_64:
    r[op->dst] = Sem::movsx<32, true>(r[op->src]);
    NEXT();
do_movsx8_32:
    r[op->dst] = Sem::movsx<8, false>(r[op->src]);
    NEXT();
do_movsx16_32:
    r[op->dst] = Sem::movsx<16, false>(r[op->src]);
    NEXT();
do_le16:
    r[op->dst] = Sem::to_little<16>(r[op->dst]);
    NEXT();
do_le32:
    r[op->dst] = Sem::to_little<32>(r[op->dst]);
    NEXT();
do_le64:
    r[op->dst] = Sem::to_little<64>(r[op->dst]);
    NEXT();
do_swap16:
    r[op->dst] = Sem::swap<16>(r[op->dst]);
    NEXT();
do_swap32:
    r[op->dst] = Sem::swap<32>(r[op->dst]);
    NEXT();
do_swap64:
    r[op->dst] = Sem::swap<64>(r[op->dst]);
    NEXT();
do_lddw:
    r[op->dst] = static_cast<uint32_t>(op->a) | uint64_t{static_cast<uint32_t>(op->b)} << 32;
    NEXT();

    // -- Memory --
#define X(load, store, store_imm, type, where, ...)                                                          \
    do_##load : LOAD(where, type, op->dst, op->src, op->a);                                                  \
    NEXT();                                                                                                  \
    do_##store : STORE(where, type, op->dst, op->a, r[op->src]);                                             \
    NEXT();                                                                                                  \
    do_##store_imm : STORE(where, type, op->dst, op->a, sign_extend(op->b));                                 \
    NEXT();
    MIMICSH_VM_ACCESS(X)
#undef X
#define X(bits, type)                                                                                        \
    do_load_stack##bits : {                                                                                  \
        const auto offset = static_cast<uint32_t>(op->a);                                                    \
        if (!machine.stack_ready(machine.depth, offset, sizeof(type))) [[unlikely]] {                        \
            machine.at = op;                                                                                 \
            machine.stack_read_uninitialised(offset, sizeof(type));                                          \
            if (machine.faulted()) {                                                                         \
                return false;                                                                                \
            }                                                                                                \
        }                                                                                                    \
        r[op->dst] = mimicsh::load<type>(machine.stack[machine.depth].data() + offset);                      \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_store_stack##bits : {                                                                                 \
        const auto offset = static_cast<uint32_t>(op->a);                                                    \
        mimicsh::store<type>(machine.stack[machine.depth].data() + offset, static_cast<type>(r[op->src]));   \
        stack_written(machine, offset, sizeof(type));                                                        \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_store_stack_imm##bits : {                                                                             \
        const auto offset = static_cast<uint32_t>(op->a);                                                    \
        mimicsh::store<type>(machine.stack[machine.depth].data() + offset,                                   \
                             static_cast<type>(sign_extend(op->b)));                                         \
        stack_written(machine, offset, sizeof(type));                                                        \
    }                                                                                                        \
    NEXT();
    MIMICSH_VM_SIZE(X)
#undef X
#define X(bits, type)                                                                                        \
    do_ldsx##bits : LOAD(Any, type, op->dst, op->src, op->a);                                                \
    NEXT();
    MIMICSH_VM_SIGNED_SIZE(X)
#undef X
#if !MIMICSH_VM_TRACED
#define Y(load, store, store_imm, type, where, first, ...)                                                   \
    do_##first##_then_##load : first::run(r, op->dst, op->src, op->a);                                       \
    LOAD(where, type, op->dst2, op->src2, op->b);                                                            \
    NEXT();                                                                                                  \
    do_##first##_then_##store : first::run(r, op->dst, op->src, op->a);                                      \
    STORE(where, type, op->dst2, op->b, r[op->src2]);                                                        \
    NEXT();
#define X(first, ...) VM_DEFER(VM_ACCESS_LIST)()(Y, first)
    VM_EXPAND(MIMICSH_VM_PAIR_ALU(X))
#undef X
#undef Y
#define Y(second, load, type, where)                                                                         \
    do_##load##_then_##second : LOAD(where, type, op->dst, op->src, op->a);                                  \
    second::run(r, op->dst2, op->src2, op->b);                                                               \
    NEXT();
#define X(load, store, store_imm, type, where, ...) VM_DEFER(VM_PAIR_ALU_LIST)()(Y, load, type, where)
    VM_EXPAND(MIMICSH_VM_ACCESS(X))
#undef X
#undef Y
#define X(load, store, store_imm, type, where, ...)                                                          \
    do_##load##_then_8 : LOAD(where, type, op->dst, op->src, op->a);                                         \
    LOAD(where, uint8_t, op->dst2, op->src2, op->b);                                                         \
    NEXT();                                                                                                  \
    do_##load##_then_16 : LOAD(where, type, op->dst, op->src, op->a);                                        \
    LOAD(where, uint16_t, op->dst2, op->src2, op->b);                                                        \
    NEXT();                                                                                                  \
    do_##load##_then_32 : LOAD(where, type, op->dst, op->src, op->a);                                        \
    LOAD(where, uint32_t, op->dst2, op->src2, op->b);                                                        \
    NEXT();                                                                                                  \
    do_##load##_then_64 : LOAD(where, type, op->dst, op->src, op->a);                                        \
    LOAD(where, uint64_t, op->dst2, op->src2, op->b);                                                        \
    NEXT();                                                                                                  \
    do_##load##_then_##store : LOAD(where, type, op->dst, op->src, op->a);                                   \
    STORE(where, type, op->dst2, op->b, r[op->src2]);                                                        \
    NEXT();                                                                                                  \
    do_##store##_then_8 : STORE(where, type, op->dst, op->a, r[op->src]);                                    \
    STORE(where, uint8_t, op->dst2, op->b, r[op->src2]);                                                     \
    NEXT();                                                                                                  \
    do_##store##_then_16 : STORE(where, type, op->dst, op->a, r[op->src]);                                   \
    STORE(where, uint16_t, op->dst2, op->b, r[op->src2]);                                                    \
    NEXT();                                                                                                  \
    do_##store##_then_32 : STORE(where, type, op->dst, op->a, r[op->src]);                                   \
    STORE(where, uint32_t, op->dst2, op->b, r[op->src2]);                                                    \
    NEXT();                                                                                                  \
    do_##store##_then_64 : STORE(where, type, op->dst, op->a, r[op->src]);                                   \
    STORE(where, uint64_t, op->dst2, op->b, r[op->src2]);                                                    \
    NEXT();
    MIMICSH_VM_ACCESS(X)
#undef X
#endif
do_ctx_load_two:
    r[op->dst] = machine.packet_pointers[op->src];
    r[op->dst2] = machine.packet_pointers[op->src2];
    NEXT();
// How clang reads a 16-bit field of a packed header: high byte, shift, low byte, or.
// The sign of `b` says that the low byte came first: what is read first warns first.
#define LOAD_TWO_BYTES(value)                                                                                \
    uint64_t value;                                                                                          \
    do {                                                                                                     \
        const uint64_t addr = r[op->src] + sign_extend(op->a);                                               \
        if (!fast_load_packet<uint16_t>(machine.window, addr, value)) [[unlikely]] {                         \
            uint64_t bytes[2];                                                                               \
            const uint64_t first = op->b < 0 ? 0 : 1;                                                        \
            machine.at = op;                                                                                 \
            if (!machine.load(addr + first, 1, bytes[first]) ||                                              \
                !machine.load(addr + 1 - first, 1, bytes[1 - first])) {                                      \
                return false;                                                                                \
            }                                                                                                \
            value = bytes[1] << 8 | bytes[0];                                                                \
        }                                                                                                    \
        r[op->dst] = value;                                                                                  \
        r[op->dst2] = value & 0xff;                                                                          \
    } while (0)
do_load_two_bytes : {
    LOAD_TWO_BYTES(value);
    NEXT();
}
do_load_two_bytes_jne : {
    LOAD_TWO_BYTES(value);
    r[op->src2] = static_cast<uint32_t>(op->b) >> 16 & 0x7fff;
    if (value != static_cast<uint16_t>(op->b)) {
        JUMP(op->c);
    }
    NEXT();
}
do_store_two_bytes : {
    // Low byte, shift, high byte: how clang writes a 16-bit field of a packed header.
    const uint64_t addr = r[op->dst] + sign_extend(op->a);
    const uint64_t value = r[op->src];
    if (!fast_store_packet<uint16_t>(machine.window, addr, value)) [[unlikely]] {
        machine.at = op;
        if (!machine.store(addr, 1, value & 0xff) || !machine.store(addr + 1, 1, value >> 8 & 0xff)) {
            return false;
        }
    }
    r[op->src] = static_cast<uint32_t>(value) >> 8;
    NEXT();
}
do_copy_two_bytes : {
    // Two neighbours byte by byte, as clang copies MAC addresses.
    const uint64_t from = r[op->src] + sign_extend(op->a);
    const uint64_t to = r[op->dst] + sign_extend(op->b);
    uint64_t value;
    if (from + 1 == to || !fast_load_packet<uint16_t>(machine.window, from, value) ||
        !fast_store_packet<uint16_t>(machine.window, to, value)) [[unlikely]] {
        uint64_t low;
        uint64_t high;
        machine.at = op;
        if (!machine.load(from, 1, low) || !machine.store(to, 1, low) || !machine.load(from + 1, 1, high) ||
            !machine.store(to + 1, 1, high)) {
            return false;
        }
        r[op->dst2] = high;
        NEXT();
    }
    r[op->dst2] = value >> 8;
    NEXT();
}
do_load_be16 : {
    LOAD_VALUE(Packet, uint16_t, value, op->src, op->a);
    r[op->dst] = Sem::swap<16>(value);
    NEXT();
}
do_load_be32 : {
    LOAD_VALUE(Packet, uint32_t, value, op->src, op->a);
    r[op->dst] = Sem::swap<32>(value);
    NEXT();
}
#define X(bits)                                                                                              \
    do_load_test##bits : {                                                                                   \
        LOAD_VALUE(Packet, uint##bits##_t, value, op->src, op->a);                                           \
        value &= static_cast<uint32_t>(op->b);                                                               \
        r[op->dst] = value;                                                                                  \
        if (value != 0) {                                                                                    \
            JUMP(op->c);                                                                                     \
        }                                                                                                    \
        NEXT();                                                                                              \
    }
    X(8)
    X(16)
    X(32)
#undef X
do_check_bounds : {
    const uint64_t pointer = r[op->src] + sign_extend(op->a);
    const uint64_t end = r[op->src2];
    r[op->dst] = pointer;
    r[op->dst2] = static_cast<uint32_t>(op->b);
    machine.prove(pointer, end);
    if (pointer > end) {
        JUMP(op->c);
    }
    NEXT();
}
#define LOOKUP_STACK()                                                                                       \
    VmMap* map;                                                                                              \
    std::memcpy(&map, &op->a, sizeof map);                                                                   \
    machine.at = op;                                                                                         \
    r[1] = make_addr(map->handle(), 0);                                                                      \
    r[2] = make_addr(kStackHandle + machine.depth, op->dst | uint32_t{op->src} << 8);                        \
    r[0] = machine.look_up(*map, r[2], machine.cpu);                                                         \
    if (machine.pending) [[unlikely]] {                                                                      \
        return false;                                                                                        \
    }
do_lookup_stack : {
    LOOKUP_STACK();
    NEXT();
}
do_lookup_stack_null : {
    LOOKUP_STACK();
    if (r[0] == 0) {
        JUMP(op->c);
    }
    NEXT();
}
do_lookup : {
    VmMap* map;
    std::memcpy(&map, &op->a, sizeof map);
    machine.at = op;
    r[0] = machine.look_up(*map, r[2], machine.cpu);
    if (machine.pending) [[unlikely]] {
        return false;
    }
    NEXT();
}
#define X(bits)                                                                                              \
    do_ctx_number##bits : r[op->dst] = mimicsh::load<uint##bits##_t>(machine.context_image.data() + op->a);  \
    NEXT();
    X(8)
    X(16)
    X(32)
    X(64)
#undef X
do_ctx_load:
    r[op->dst] = machine.packet_pointers[op->src];
    NEXT();
do_atomic:
    machine.at = op;
    if (!machine.atomic(*op)) {
        return false;
    }
    NEXT();
do_load_packet : {
    const uint32_t index = op->src2 != 0 ? static_cast<uint32_t>(r[op->src]) : 0;
    if (!machine.load_packet(static_cast<int32_t>(static_cast<uint32_t>(op->a) + index), op->dst2, r[0])) {
        r[0] = 0;
        goto do_exit; // of the function: a subprogram's caller goes on
    }
    NEXT();
}

// -- Jumps --
#define X(name, ...)                                                                                         \
    do_##name##_k_f : if (name##_k::taken(r, op->dst, op->src, op->a)) {                                     \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_##name##_x_f : if (name##_x::taken(r, op->dst, op->src, op->a)) {                                     \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_##name##_k_b : if (name##_k::taken(r, op->dst, op->src, op->a)) {                                     \
        TICK();                                                                                              \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_##name##_x_b : if (name##_x::taken(r, op->dst, op->src, op->a)) {                                     \
        TICK();                                                                                              \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();
    MIMICSH_VM_JUMP(X)
#undef X
#if !MIMICSH_VM_TRACED
#define Y(second, first)                                                                                     \
    do_##first##_then_##second##_f : first::run(r, op->dst, op->src, op->a);                                 \
    if (second::taken(r, op->dst2, op->src2, op->b)) {                                                       \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_##first##_then_##second##_b : first::run(r, op->dst, op->src, op->a);                                 \
    if (second::taken(r, op->dst2, op->src2, op->b)) {                                                       \
        TICK();                                                                                              \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();
#define X(first, ...) VM_DEFER(VM_PAIR_JUMP_LIST)()(Y, first)
    VM_EXPAND(MIMICSH_VM_PAIR_ALU(X))
#undef X
#undef Y
#define Y(second, load, type, where)                                                                         \
    do_##load##_then_##second##_f : LOAD(where, type, op->dst, op->src, op->a);                              \
    if (second::taken(r, op->dst2, op->src2, op->b)) {                                                       \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_##load##_then_##second##_b : LOAD(where, type, op->dst, op->src, op->a);                              \
    if (second::taken(r, op->dst2, op->src2, op->b)) {                                                       \
        TICK();                                                                                              \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();
#define X(load, store, store_imm, type, where, ...) VM_DEFER(VM_PAIR_JUMP_LIST)()(Y, load, type, where)
    VM_EXPAND(MIMICSH_VM_ACCESS(X))
#undef X
#undef Y
#endif
do_prove:
    machine.prove(r[op->dst], r[op->src]);
    NEXT();
#if !MIMICSH_VM_TRACED
#define X(name)                                                                                              \
    do_prove_then_##name##_f : machine.prove(r[op->dst], r[op->src]);                                        \
    if (name::taken(r, op->dst2, op->src2, op->b)) {                                                         \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();                                                                                                  \
    do_prove_then_##name##_b : machine.prove(r[op->dst], r[op->src]);                                        \
    if (name::taken(r, op->dst2, op->src2, op->b)) {                                                         \
        TICK();                                                                                              \
        JUMP(op->c);                                                                                         \
    }                                                                                                        \
    NEXT();
    X(jgt64_x)
    X(jge64_x)
    X(jlt64_x)
    X(jle64_x)
#undef X
#endif
do_ja_f:
    JUMP(op->c);
do_ja_b:
    TICK();
    JUMP(op->c);
do_may_goto:
    if (machine.may_goto_left == 0) {
        JUMP(op->c);
    }
    machine.touched = true;
    --machine.may_goto_left;
    TICK();
    NEXT();

    // -- Calls --
do_call_helper : {
    HelperFn helper;
    std::memcpy(&helper, &op->a, sizeof helper);
    machine.at = op;
    const uint64_t result = helper(machine, r + 1);
    if (machine.pending) [[unlikely]] {
        return false;
    }
    r[0] = result;
    regions = machine.regions.data();
    region_count = machine.regions.size();
    NEXT();
}
do_call_local:
    machine.at = op;
    TICK();
    if (!machine.push_frame(op + 1)) {
        return false;
    }
    JUMP(op->c);
do_tail_call : {
    machine.at = op;
    const Code* target = tail_call_target(machine, MIMICSH_VM_TRACED != 0);
    if (machine.pending) {
        return false;
    }
    if (target != nullptr) {
        code = target;
        machine.code = code;
        op = code->ops.data();
        VM_DISPATCH();
    }
    NEXT();
}
do_refused:
    machine.at = op;
    machine.fault(FaultKind::BadInstruction, "instruction has no meaning here");
    return false;
do_exit_with_64:
    r[0] = r[op->src];
    goto do_exit;
do_exit_with_32:
    r[0] = static_cast<uint32_t>(r[op->src]);
    goto do_exit;
do_exit_with:
    r[0] = static_cast<uint32_t>(op->a);
do_exit:
    if (machine.depth == entry_depth) {
        machine.budget += ticks - 1; // of the last refill
        return true;
    }
    {
        const Frame& frame = machine.frames[--machine.depth];
        std::memcpy(r + 6, frame.saved.data(), sizeof frame.saved);
        code = frame.code;
        op = frame.return_to;
        r[10] = machine.frame_pointer();
        machine.code = code;
        VM_DISPATCH();
    }
}

} // namespace

} // namespace mimicsh::vm
