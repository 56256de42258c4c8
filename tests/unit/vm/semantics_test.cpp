// SPDX-License-Identifier: MIT
// The meanings of instructions over a value type that is text: the template builds the expression that a code
// generator would, and evaluating it gives what the interpreter's numbers give.
#include "vm/semantics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "vm/ops.h"

namespace mimicsh::vm {
namespace {

/// Operations that write themselves down: "(add a (const 5))". Both ways of a choice are built, as a code
/// generator builds both.
struct TextOps {
    using Value = std::string;
    struct Bool {
        std::string text;
    };

    static Value constant(uint64_t v) { return "(const " + std::to_string(v) + ")"; }
    static Value call(const char* name, const Value& a) { return std::string("(") + name + " " + a + ")"; }
    static Value call(const char* name, const Value& a, const Value& b) {
        return std::string("(") + name + " " + a + " " + b + ")";
    }
    static Value add(const Value& a, const Value& b) { return call("add", a, b); }
    static Value sub(const Value& a, const Value& b) { return call("sub", a, b); }
    static Value mul(const Value& a, const Value& b) { return call("mul", a, b); }
    static Value udiv(const Value& a, const Value& b) { return call("udiv", a, b); }
    static Value umod(const Value& a, const Value& b) { return call("umod", a, b); }
    static Value bit_or(const Value& a, const Value& b) { return call("or", a, b); }
    static Value bit_and(const Value& a, const Value& b) { return call("and", a, b); }
    static Value bit_xor(const Value& a, const Value& b) { return call("xor", a, b); }
    static Value shl(const Value& a, const Value& b) { return call("shl", a, b); }
    static Value lshr(const Value& a, const Value& b) { return call("lshr", a, b); }
    static Value ashr(const Value& a, const Value& b) { return call("ashr", a, b); }
    static Value zext32(const Value& a) { return call("zext32", a); }
    template <unsigned kBits>
    static Value sext(const Value& a) {
        return call("sext", std::to_string(kBits), a);
    }
    template <unsigned kBits>
    static Value swap(const Value& a) {
        return call("swap", std::to_string(kBits), a);
    }
    static Bool eq(const Value& a, const Value& b) { return {call("eq", a, b)}; }
    static Bool ult(const Value& a, const Value& b) { return {call("ult", a, b)}; }
    static Bool slt(const Value& a, const Value& b) { return {call("slt", a, b)}; }
    static Bool negate(const Bool& a) { return {call("not", a.text)}; }
    template <typename Then, typename Else>
    static Value select(const Bool& condition, Then then, Else otherwise) {
        return "(select " + condition.text + " " + then() + " " + otherwise() + ")";
    }
};

/// Evaluates the text by itself, in 128 bits and by loops over bits where that differs most from machine
/// operations. Only the chosen way of a `select` is evaluated.
class Evaluator {
  public:
    Evaluator(std::string_view text, uint64_t a, uint64_t b) : text_(text), a_(a), b_(b) {}

    uint64_t run() {
        const uint64_t value = expression(true);
        EXPECT_EQ(at_, text_.size()) << text_;
        return value;
    }

  private:
    std::string_view word() {
        const size_t end = std::min(text_.find_first_of(" ()", at_), text_.size());
        const std::string_view found = text_.substr(at_, end - at_);
        at_ = end;
        return found;
    }

    uint64_t expression(bool live) {
        while (text_[at_] == ' ') {
            ++at_;
        }
        if (text_[at_] != '(') {
            const std::string_view name = word();
            return name == "a" ? a_ : name == "b" ? b_ : std::stoull(std::string(name));
        }
        ++at_;
        const std::string_view name = word();
        uint64_t value = 0;
        if (name == "select") {
            const bool first = expression(live) != 0;
            const uint64_t then = expression(live && first);
            const uint64_t otherwise = expression(live && !first);
            value = first ? then : otherwise;
        } else {
            const uint64_t x = expression(live);
            const bool is_unary = name == "const" || name == "zext32" || name == "not";
            const uint64_t y = is_unary ? 0 : expression(live);
            value = live ? apply(name, x, y) : 0;
        }
        EXPECT_EQ(text_[at_], ')') << text_;
        ++at_;
        return value;
    }

    static uint64_t sign_extend(uint64_t bits, uint64_t value) {
        const uint64_t low = value & ((uint64_t{1} << bits) - 1);
        return (low >> (bits - 1)) != 0 ? low - (uint64_t{1} << bits) : low;
    }

    static uint64_t swap_bytes(uint64_t bits, uint64_t value) {
        uint64_t out = 0;
        for (uint64_t i = 0; i < bits; i += 8) {
            out = out << 8 | (value >> i & 0xff);
        }
        return out;
    }

    static uint64_t shift_right_signed(uint64_t value, uint64_t by) {
        for (; by > 0; --by) {
            value = value >> 1 | (value & uint64_t{1} << 63);
        }
        return value;
    }

    static uint64_t apply(std::string_view name, uint64_t x, uint64_t y) {
        const bool shifts = name == "shl" || name == "lshr" || name == "ashr";
        EXPECT_TRUE(!shifts || y < 64) << name;
        if (name == "udiv" || name == "umod") {
            EXPECT_NE(y, 0u) << name;
            return y == 0 ? 0 : name == "udiv" ? x / y : x - x / y * y;
        }
        return name == "const"    ? x
               : name == "add"    ? x - ~y - 1
               : name == "sub"    ? x + ~y + 1
               : name == "mul"    ? x * y
               : name == "or"     ? ~(~x & ~y)
               : name == "and"    ? ~(~x | ~y)
               : name == "xor"    ? (x | y) - (x & y)
               : name == "shl"    ? x << y
               : name == "lshr"   ? x >> y
               : name == "ashr"   ? shift_right_signed(x, y)
               : name == "zext32" ? x % (uint64_t{1} << 32)
               : name == "sext"   ? sign_extend(x, y)
               : name == "swap"   ? swap_bytes(x, y)
               : name == "eq"     ? uint64_t{(x ^ y) == 0}
               : name == "ult"    ? uint64_t{x < y}
               : name == "slt"    ? uint64_t{(x ^ uint64_t{1} << 63) < (y ^ uint64_t{1} << 63)}
               : name == "not"    ? uint64_t{x == 0}
                                  : (ADD_FAILURE() << "no operation " << name, 0);
    }

    std::string_view text_;
    uint64_t a_, b_;
    size_t at_ = 0;
};

struct Row {
    std::string name;
    std::string text;
    std::function<uint64_t(uint64_t, uint64_t)> value;
};

using Text = Semantics<TextOps>;
using Numbers = Semantics<ValueOps>;

template <unsigned kBits, bool kWide>
Row movsx(const char* name) {
    return {name, Text::movsx<kBits, kWide>("b"),
            [](uint64_t, uint64_t b) { return Numbers::movsx<kBits, kWide>(b); }};
}

template <unsigned kBits>
void add_swaps(std::vector<Row>& rows) {
    const std::string bits = std::to_string(kBits);
    rows.push_back({"swap" + bits, Text::swap<kBits>("a"),
                    [](uint64_t a, uint64_t) { return Numbers::swap<kBits>(a); }});
    rows.push_back({"le" + bits, Text::to_little<kBits>("a"),
                    [](uint64_t a, uint64_t) { return Numbers::to_little<kBits>(a); }});
}

/// All operations of the interpreter's own lists.
std::vector<Row> rows() {
    std::vector<Row> out;
#define X(name, operation, wide, is_signed)                                                                  \
    out.push_back({#name, Text::alu<(operation), wide, is_signed>("a", "b"), [](uint64_t a, uint64_t b) {    \
                       return Numbers::alu<(operation), wide, is_signed>(a, b);                              \
                   }});
    MIMICSH_VM_ALU(X)
#undef X
#define X(name, operation, wide)                                                                             \
    out.push_back({#name, Text::jump<(operation), wide>("a", "b").text, [](uint64_t a, uint64_t b) {         \
                       return uint64_t{Numbers::jump<(operation), wide>(a, b)};                              \
                   }});
    MIMICSH_VM_JUMP(X)
#undef X
    out.push_back(
        {"neg64", Text::neg<true>("a"), [](uint64_t a, uint64_t) { return Numbers::neg<true>(a); }});
    out.push_back(
        {"neg32", Text::neg<false>("a"), [](uint64_t a, uint64_t) { return Numbers::neg<false>(a); }});
    out.push_back(movsx<8, true>("movsx8_64"));
    out.push_back(movsx<16, true>("movsx16_64"));
    out.push_back(movsx<32, true>("movsx32_64"));
    out.push_back(movsx<8, false>("movsx8_32"));
    out.push_back(movsx<16, false>("movsx16_32"));
    add_swaps<16>(out);
    add_swaps<32>(out);
    add_swaps<64>(out);
    return out;
}

TEST(Semantics, SymbolicTextEvaluatesToTheInterpretersValues) {
    const std::vector<Row> all = rows();
    ASSERT_GT(all.size(), 60u);
    const auto seed = std::random_device{}();
    std::mt19937_64 random(seed);
    constexpr uint64_t kEdges[] = {0,
                                   1,
                                   2,
                                   31,
                                   32,
                                   63,
                                   64,
                                   0x7f,
                                   0x80,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   1ull << 32,
                                   1ull << 63,
                                   INT64_MAX,
                                   UINT64_MAX,
                                   0xffffffff80000000};
    constexpr size_t kCount = std::size(kEdges);
    for (const Row& row : all) {
        for (size_t i = 0; i < kCount * kCount + 200; ++i) {
            const bool edge = i < kCount * kCount;
            const uint64_t a = edge ? kEdges[i / kCount] : random();
            const uint64_t b = edge ? kEdges[i % kCount] : random() >> (random() % 64);
            ASSERT_EQ(Evaluator(row.text, a, b).run(), row.value(a, b))
                << row.name << " a=" << a << " b=" << b << " seed=" << seed << "\n"
                << row.text;
        }
    }
}

TEST(Semantics, ExpressionsAreBuiltFromOperandsOnly) {
    EXPECT_EQ((Text::alu<op::kAdd, false>("a", "b")), "(zext32 (add a b))");
    EXPECT_EQ((Text::alu<op::kLsh, true>("a", "b")), "(shl a (and b (const 63)))");
    EXPECT_EQ((Text::jump<op::kJsgt, false>("a", "b").text),
              "(slt (sext 32 (zext32 b)) (sext 32 (zext32 a)))");
    EXPECT_EQ((Text::alu<op::kMod, true>("a", "b")), "(select (eq b (const 0)) a (umod a b))");
}

} // namespace
} // namespace mimicsh::vm
