// SPDX-License-Identifier: MIT
// The generator: statements over a few variables, each of which is valid for any values.
#include "tests/kernel/generated_c.h"

#include <array>

#include "tests/difffuzz/rng.h"

namespace mimicsh::test {

namespace {

constexpr const char* kHead = R"(#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
struct packed {
    u8 a;
    u32 b;
    u16 c;
    u64 d;
} __attribute__((packed));
struct bits {
    u32 low : 3;
    s32 middle : 11;
    u32 high : 18;
    u64 wide : 40;
};
struct results {
    u64 words[16];
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct results);
} results SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, u32);
    __type(value, u64);
} seen SEC(".maps");
u64 total;
volatile const u32 table[8] = {1, 0x80, 0xffff, 0x80000000, 7, 31, 63, 0xdeadbeef};
char _license[] SEC("license") = "GPL";
)";

class Generator {
  public:
    explicit Generator(uint64_t seed) : rng_(seed * 0x9e3779b97f4a7c15 + 77) {}

    std::string run() {
        text_ = kHead;
        functions_ = rng_.below(3);
        for (uint32_t i = 0; i < functions_; ++i) {
            function(i);
        }
        main_program();
        return text_;
    }

  private:
    static constexpr std::array<const char*, 8> kTypes{"u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"};

    void line(const std::string& text) { text_ += std::string(size_t{4} * depth_, ' ') + text + "\n"; }
    std::string number() { return "0x" + hex(rng_.operand()) + "ull"; }
    static std::string hex(uint64_t value) {
        constexpr const char* kDigits = "0123456789abcdef";
        std::string digits;
        do {
            digits.insert(digits.begin(), kDigits[value & 15]);
            value >>= 4;
        } while (value != 0);
        return digits;
    }
    std::string variable() { return "v" + std::to_string(rng_.below(kVariables)); }

    /// Something to read, of any integer type.
    std::string leaf() {
        switch (rng_.below(9)) {
        case 0:
            return number();
        case 1:
            return "p.b";
        case 2:
            return "f.middle";
        case 3:
            return "f.wide";
        case 4:
            return "list[" + variable() + " & 7]";
        case 5:
            return "table[" + variable() + " & 7]";
        default:
            return variable();
        }
    }

    std::string expression(uint32_t levels) {
        if (levels == 0) {
            return leaf();
        }
        const std::string a = expression(levels - 1);
        const std::string b = expression(rng_.below(levels));
        static constexpr std::array<const char*, 6> kPlain{"+", "-", "*", "&", "|", "^"};
        static constexpr std::array<const char*, 6> kCompare{"<", "<=", ">", ">=", "==", "!="};
        switch (rng_.below(10)) {
        case 0:
            return "((u64)(" + a + ") / ((u64)(" + b + ") | 1))";
        case 1:
            return "((u64)(" + a + ") % ((u64)(" + b + ") | 1))";
        case 2:
            return "((u64)(" + a + ") << ((" + b + ") & 63))";
        case 3:
            return "((s64)(" + a + ") >> ((" + b + ") & 63))";
        case 4:
            return "((u32)(" + a + ") >> ((" + b + ") & 31))";
        case 5: {
            const std::string type = rng_.pick(kTypes);
            return "((" + type + ")(" + a + "))";
        }
        case 6:
            return "((" + std::string(rng_.pick(kTypes)) + ")(" + a + ") " + rng_.pick(kCompare) + " (" +
                   rng_.pick(kTypes) + ")(" + b + "))";
        case 7:
            return "((" + a + ") ? (u64)(" + b + ") : (u64)" + leaf() + ")";
        case 8:
            return rng_.one_in(2) ? "__builtin_bswap32((u32)(" + a + "))"
                                  : "__builtin_bswap16((u16)(" + a + "))";
        default:
            return "((u64)(" + a + ") " + rng_.pick(kPlain) + " (u64)(" + b + "))";
        }
    }

    void assignment() {
        const std::string value = expression(1 + rng_.below(2));
        switch (rng_.below(8)) {
        case 0:
            return line("p." + std::string(1, static_cast<char>('a' + rng_.below(4))) + " = " + value + ";");
        case 1:
            return line(std::string("f.") + (rng_.one_in(2) ? "middle" : "wide") + " = " + value + ";");
        case 2:
            return line("list[" + variable() + " & 7] = " + value + ";");
        case 3:
            return line("total += " + value + ";");
        default:
            return line(variable() + " = " + value + ";");
        }
    }

    void block(uint32_t statements) {
        ++depth_;
        for (uint32_t i = 0; i < statements; ++i) {
            statement();
        }
        --depth_;
    }

    void loop() {
        const std::string i = "i" + std::to_string(loops_++);
        line("for (u32 " + i + " = 0; " + i + " < " + std::to_string(2 + rng_.below(7)) + "; " + i + "++) {");
        ++in_loop_;
        ++depth_;
        line(variable() + " += list[" + i + " & 7] * " + i + ";");
        --depth_;
        block(1 + rng_.below(2));
        --in_loop_;
        line("}");
    }

    void choice() {
        line("switch ((" + variable() + ") & 7) {");
        for (uint32_t i = 0, count = 2 + rng_.below(5); i < count; ++i) {
            line("case " + std::to_string(i) + ":");
            block(1);
            ++depth_;
            line(rng_.one_in(4) && i + 1 < count ? "__attribute__((fallthrough));" : "break;");
            --depth_;
        }
        line("default:");
        block(1);
        line("}");
    }

    void packet_read() {
        static constexpr std::array<const char*, 4> kWidths{"u8", "u16", "u32", "u64"};
        const std::string type = rng_.pick(kWidths);
        const std::string at = rng_.one_in(2) ? std::to_string(rng_.below(40)) : "(" + variable() + " & 31)";
        line("{");
        ++depth_;
        line("u8 *at = data + " + at + ";");
        line("if ((void *)(at + 8) <= end)");
        line("    " + variable() + " ^= *(" + type + " *)at;");
        if (rng_.one_in(3)) {
            line("if ((void *)(at + 8) <= end)");
            line("    *(" + type + " *)at = " + leaf() + ";");
        }
        --depth_;
        line("}");
    }

    void map_use() {
        const std::string key = "k" + std::to_string(loops_++);
        line("{");
        ++depth_;
        line("u32 " + key + " = (u32)" + variable() + " & 15;");
        line("u64 *found = bpf_map_lookup_elem(&seen, &" + key + ");");
        line("if (found)");
        line("    " + std::string(rng_.one_in(2) ? "__sync_fetch_and_add(found, " : "*found ^= (") +
             variable() + ");");
        line("else");
        line("    bpf_map_update_elem(&seen, &" + key + ", &" + variable() + ", BPF_ANY);");
        --depth_;
        line("}");
    }

    void statement() {
        const bool flat = depth_ > 3;
        switch (rng_.below(14)) {
        case 0:
        case 1:
            if (flat) {
                break;
            }
            line("if (" + expression(1) + ") {");
            block(1 + rng_.below(2));
            if (rng_.one_in(2)) {
                line("} else {");
                block(1);
            }
            line("}");
            return;
        case 2:
            if (flat || in_loop_ > 0) {
                break;
            }
            return loop();
        case 3:
            if (flat || in_loop_ > 0) {
                break;
            }
            return choice();
        case 4:
        case 5:
            if (!in_main_) {
                break;
            }
            return packet_read();
        case 6:
            if (!in_main_ || in_loop_ > 0) {
                break;
            }
            return map_use();
        case 7:
            if (in_main_ && functions_ > 0) {
                return line(variable() + " += f" + std::to_string(rng_.below(functions_)) + "(" + variable() +
                            ", " + leaf() + ", &p);");
            }
            break;
        case 8:
            return line("__builtin_memcpy(&list[" + std::to_string(rng_.below(4)) +
                        "], &p, sizeof p < 16 ? sizeof p : 16);");
        case 9:
            return line("q = p; p.b = q.c; p.d ^= q.b;");
        default:
            break;
        }
        assignment();
    }

    void locals(const char* first, const char* second) {
        for (uint32_t i = 0; i < kVariables; ++i) {
            line("u64 v" + std::to_string(i) + " = " + (i == 0 ? first : i == 1 ? second : number()) + ";");
        }
        line("u64 list[8] = {" + number() + ", " + number() + ", 3};");
        line("struct packed q = {0};");
        line("struct bits f = {1, -5, 77, " + number() + " & 0xffffff};");
    }

    /// Everything that is alive, into one word.
    void fold(const std::string& into) {
        for (uint32_t i = 0; i < kVariables; ++i) {
            line(into + " = " + into + " * 31 + v" + std::to_string(i) + ";");
        }
        line(into + " ^= q.a + list[" + std::to_string(rng_.below(8)) + "] + f.low + f.high + f.middle;");
    }

    void function(uint32_t index) {
        line("static __attribute__((noinline)) u64 f" + std::to_string(index) +
             "(u64 x, u64 y, struct packed *from)");
        line("{");
        ++depth_;
        line("struct packed p = {1, 2, 3, 4};");
        line("if (from)");
        line("    p = *from;");
        locals("x", "y");
        --depth_;
        block(3 + rng_.below(4));
        ++depth_;
        line("u64 all = p.d;");
        fold("all");
        line("return all;");
        --depth_;
        line("}");
    }

    void main_program() {
        in_main_ = true;
        line("SEC(\"xdp\") int generated(struct xdp_md *ctx)");
        line("{");
        ++depth_;
        line("u8 *data = (void *)(long)ctx->data;");
        line("void *end = (void *)(long)ctx->data_end;");
        line("struct packed p = {0};");
        line("u32 zero = 0;");
        line("struct results *out = bpf_map_lookup_elem(&results, &zero);");
        line("if (!out || (void *)(data + 14) > end)");
        line("    return XDP_ABORTED;");
        line("p.a = data[0]; p.b = *(u32 *)(data + 1); p.c = data[5]; p.d = *(u64 *)(data + 6);");
        locals("p.d", "(u64)(end - (void *)data)");
        --depth_;
        block(6 + rng_.below(8));
        ++depth_;
        line("u64 all = 0;");
        fold("all");
        for (uint32_t i = 0; i < kVariables; ++i) {
            line("out->words[" + std::to_string(i) + "] = v" + std::to_string(i) + ";");
        }
        line("out->words[6] = p.d; out->words[7] = f.wide; out->words[8] = f.middle;");
        line("for (u32 i = 0; i < 7; i++)");
        line("    out->words[9 + i] = list[i];");
        line("total ^= all;");
        line("return all ^ all >> 32;");
        --depth_;
        line("}");
    }

    static constexpr uint32_t kVariables = 6;
    difffuzz::Rng rng_;
    std::string text_;
    uint32_t depth_ = 0;
    uint32_t functions_ = 0;
    uint32_t loops_ = 0;
    uint32_t in_loop_ = 0;
    bool in_main_ = false;
};

} // namespace

std::string generate_c(uint64_t seed) {
    return Generator(seed).run();
}

} // namespace mimicsh::test
