// SPDX-License-Identifier: MIT
// One meaning per instruction, over an abstract value type. The interpreter instantiates it with numbers; a
// code generator instantiates it with its own builder. Rules: RFC 9669; what it leaves open is the kernel's
// behaviour.
#pragma once

#include <cstdint>

#include "object/insn.h"

namespace mimicsh::vm {

/// Primitive operations on plain 64-bit numbers, the Ops of the interpreter.
struct ValueOps {
    using Value = uint64_t;
    using Bool = bool;

    static constexpr Value constant(uint64_t v) { return v; }
    static constexpr Value add(Value a, Value b) { return a + b; }
    static constexpr Value sub(Value a, Value b) { return a - b; }
    static constexpr Value mul(Value a, Value b) { return a * b; }
    static constexpr Value udiv(Value a, Value b) { return a / b; }
    static constexpr Value umod(Value a, Value b) { return a % b; }
    static constexpr Value bit_or(Value a, Value b) { return a | b; }
    static constexpr Value bit_and(Value a, Value b) { return a & b; }
    static constexpr Value bit_xor(Value a, Value b) { return a ^ b; }
    static constexpr Value shl(Value a, Value b) { return a << b; }
    static constexpr Value lshr(Value a, Value b) { return a >> b; }
    static constexpr Value ashr(Value a, Value b) { return static_cast<Value>(static_cast<int64_t>(a) >> b); }
    static constexpr Value zext32(Value a) { return static_cast<uint32_t>(a); }
    template <unsigned kBits>
    static constexpr Value sext(Value a) {
        if constexpr (kBits == 8) {
            return static_cast<Value>(int64_t{static_cast<int8_t>(a)});
        } else if constexpr (kBits == 16) {
            return static_cast<Value>(int64_t{static_cast<int16_t>(a)});
        } else {
            return static_cast<Value>(int64_t{static_cast<int32_t>(a)});
        }
    }
    template <unsigned kBits>
    static constexpr Value swap(Value a) {
        if constexpr (kBits == 16) {
            return __builtin_bswap16(static_cast<uint16_t>(a));
        } else if constexpr (kBits == 32) {
            return __builtin_bswap32(static_cast<uint32_t>(a));
        } else {
            return __builtin_bswap64(a);
        }
    }
    static constexpr Bool eq(Value a, Value b) { return a == b; }
    static constexpr Bool ult(Value a, Value b) { return a < b; }
    static constexpr Bool slt(Value a, Value b) { return static_cast<int64_t>(a) < static_cast<int64_t>(b); }
    static constexpr Bool negate(Bool a) { return !a; }
    /// `then` and `otherwise` are callables: only the chosen one is evaluated (division by zero must not be).
    template <typename Then, typename Else>
    static constexpr Value select(Bool condition, Then then, Else otherwise) {
        return condition ? then() : otherwise();
    }
};

template <typename Ops>
struct Semantics {
    using V = typename Ops::Value;
    using B = typename Ops::Bool;

    /// dst = dst OP src. Immediates come in sign-extended to 64 bits. kSigned: the off=1 forms of DIV and
    /// MOD.
    template <uint8_t kOp, bool kWide, bool kSigned = false>
    static constexpr V alu(V dst, V src) {
        if constexpr (kOp == op::kMov) {
            return narrow_result<kWide>(src);
        } else if constexpr (kOp == op::kAdd) {
            return narrow_result<kWide>(Ops::add(dst, src));
        } else if constexpr (kOp == op::kSub) {
            return narrow_result<kWide>(Ops::sub(dst, src));
        } else if constexpr (kOp == op::kMul) {
            return narrow_result<kWide>(Ops::mul(dst, src));
        } else if constexpr (kOp == op::kOr) {
            return narrow_result<kWide>(Ops::bit_or(dst, src));
        } else if constexpr (kOp == op::kAnd) {
            return narrow_result<kWide>(Ops::bit_and(dst, src));
        } else if constexpr (kOp == op::kXor) {
            return narrow_result<kWide>(Ops::bit_xor(dst, src));
        } else if constexpr (kOp == op::kLsh) {
            return narrow_result<kWide>(Ops::shl(dst, shift_count<kWide>(src)));
        } else if constexpr (kOp == op::kRsh) {
            return Ops::lshr(narrow_result<kWide>(dst), shift_count<kWide>(src));
        } else if constexpr (kOp == op::kArsh) {
            const V wide = kWide ? dst : Ops::template sext<32>(dst);
            return narrow_result<kWide>(Ops::ashr(wide, shift_count<kWide>(src)));
        } else {
            static_assert(kOp == op::kDiv || kOp == op::kMod);
            if constexpr (kSigned) {
                return signed_divide<kOp, kWide>(dst, src);
            } else {
                return unsigned_divide<kOp, kWide>(dst, src);
            }
        }
    }

    template <bool kWide>
    static constexpr V neg(V dst) {
        return narrow_result<kWide>(Ops::sub(Ops::constant(0), dst));
    }

    template <unsigned kBits, bool kWide>
    static constexpr V movsx(V src) {
        return narrow_result<kWide>(Ops::template sext<kBits>(src));
    }

    /// htobe and the unconditional swap are the same on a little-endian machine; htole only truncates.
    template <unsigned kBits>
    static constexpr V swap(V dst) {
        return Ops::template swap<kBits>(dst);
    }
    template <unsigned kBits>
    static constexpr V to_little(V dst) {
        if constexpr (kBits == 64) {
            return dst;
        } else {
            return Ops::bit_and(dst, Ops::constant((uint64_t{1} << kBits) - 1));
        }
    }

    /// Whether a conditional jump is taken. Immediates come in sign-extended to 64 bits.
    template <uint8_t kOp, bool kWide>
    static constexpr B jump(V dst, V src) {
        const V a = narrow_result<kWide>(dst);
        const V b = narrow_result<kWide>(src);
        if constexpr (kOp == op::kJeq) {
            return Ops::eq(a, b);
        } else if constexpr (kOp == op::kJne) {
            return Ops::negate(Ops::eq(a, b));
        } else if constexpr (kOp == op::kJgt) {
            return Ops::ult(b, a);
        } else if constexpr (kOp == op::kJge) {
            return Ops::negate(Ops::ult(a, b));
        } else if constexpr (kOp == op::kJlt) {
            return Ops::ult(a, b);
        } else if constexpr (kOp == op::kJle) {
            return Ops::negate(Ops::ult(b, a));
        } else if constexpr (kOp == op::kJset) {
            return Ops::negate(Ops::eq(Ops::bit_and(a, b), Ops::constant(0)));
        } else {
            const V sa = kWide ? a : Ops::template sext<32>(a);
            const V sb = kWide ? b : Ops::template sext<32>(b);
            if constexpr (kOp == op::kJsgt) {
                return Ops::slt(sb, sa);
            } else if constexpr (kOp == op::kJsge) {
                return Ops::negate(Ops::slt(sa, sb));
            } else if constexpr (kOp == op::kJslt) {
                return Ops::slt(sa, sb);
            } else {
                static_assert(kOp == op::kJsle);
                return Ops::negate(Ops::slt(sb, sa));
            }
        }
    }

  private:
    /// 32-bit operations clear the upper half of their result.
    template <bool kWide>
    static constexpr V narrow_result(V value) {
        if constexpr (kWide) {
            return value;
        } else {
            return Ops::zext32(value);
        }
    }

    /// Register shift counts are masked by the width, as the kernel's interpreter and JITs do.
    template <bool kWide>
    static constexpr V shift_count(V count) {
        return Ops::bit_and(count, Ops::constant(kWide ? 63 : 31));
    }

    /// x / 0 = 0 and x % 0 = x; a 32-bit modulo by zero still clears the upper half.
    template <uint8_t kOp, bool kWide>
    static constexpr V unsigned_divide(V dst, V src) {
        const V a = narrow_result<kWide>(dst);
        const V b = narrow_result<kWide>(src);
        return Ops::select(
            Ops::eq(b, Ops::constant(0)), [&] { return kOp == op::kDiv ? Ops::constant(0) : a; },
            [&] { return kOp == op::kDiv ? Ops::udiv(a, b) : Ops::umod(a, b); });
    }

    /// Sign and magnitude by hand, so that the smallest number divided by -1 wraps instead of trapping:
    /// INT_MIN / -1 = INT_MIN and INT_MIN % -1 = 0 in both widths.
    template <uint8_t kOp, bool kWide>
    static constexpr V signed_divide(V dst, V src) {
        const V a = kWide ? dst : Ops::template sext<32>(dst);
        const V b = kWide ? src : Ops::template sext<32>(src);
        const V zero = Ops::constant(0);
        const auto magnitude = [&](V v) {
            return Ops::select(
                Ops::slt(v, zero), [&] { return Ops::sub(zero, v); }, [&] { return v; });
        };
        const auto with_sign = [&](B negative, V v) {
            return Ops::select(
                negative, [&] { return Ops::sub(zero, v); }, [&] { return v; });
        };
        const V result = Ops::select(
            Ops::eq(b, zero), [&] { return kOp == op::kDiv ? zero : a; },
            [&] {
                if constexpr (kOp == op::kDiv) {
                    return with_sign(Ops::slt(Ops::bit_xor(a, b), zero),
                                     Ops::udiv(magnitude(a), magnitude(b)));
                } else {
                    return with_sign(Ops::slt(a, zero), Ops::umod(magnitude(a), magnitude(b)));
                }
            });
        return narrow_result<kWide>(result);
    }
};

} // namespace mimicsh::vm
