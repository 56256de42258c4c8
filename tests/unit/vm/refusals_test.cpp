// SPDX-License-Identifier: MIT
// Strict mode refuses at load with place and reason; permissive mode does not.
#include <gtest/gtest.h>

#include "tests/unit/vm/refusal_cases.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

TEST(Refusals, NameInstructionAndReason) {
    for (const RefusalCase& one : refusal_cases()) {
        const auto object = one.make();
        ASSERT_NE(object, nullptr) << one.name;
        const auto loaded = vm::make_target()->load(object, {});
        ASSERT_FALSE(loaded) << one.name;
        const std::string message = loaded.error().message();
        EXPECT_NE(message.find(one.text), std::string::npos) << one.name << ": " << message;
        EXPECT_NE(message.find("main: instruction " + std::to_string(one.slot) + ":"), std::string::npos)
            << one.name << ": " << message;
    }
}

TEST(Refusals, NeighboursLoad) {
    for (const RefusalCase& one : accepted_cases()) {
        const auto object = one.make();
        ASSERT_NE(object, nullptr) << one.name;
        const auto loaded = vm::make_target()->load(object, {});
        EXPECT_TRUE(loaded) << one.name << ": " << loaded.error().message();
    }
}

TEST(Refusals, NameTheSourceLine) {
    struct Case {
        const char* body;
        const char* text;
    };
    for (const Case& one : {
             Case{"asm volatile(\"w1 += 4\" ::: \"w1\"); return 2;", "32-bit arithmetic"},
             Case{"return bpf_skb_load_bytes(ctx, 0, 0, 4);",
                  "bpf_skb_load_bytes cannot be called from xdp programs"},
             Case{"*(volatile int *)ctx = 1; return 2;", "write to the context"},
             Case{"return *(volatile __u8 *)ctx;", "context access"},
         }) {
        const std::string source = std::string(kPrelude) +
                                   "SEC(\"xdp\") int filter(struct xdp_md *ctx)\n{\n" + one.body +
                                   "\n}\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n";
        const auto object = compile_text(source);
        ASSERT_NE(object, nullptr);
        const auto loaded = vm::make_target()->load(object, {});
        ASSERT_FALSE(loaded) << one.body;
        const std::string message = loaded.error().message();
        EXPECT_NE(message.find(one.text), std::string::npos) << message;
        EXPECT_NE(message.find("test.c:5: "), std::string::npos) << message;
    }
}

TEST(Refusals, PermissiveModeExecutesWhatHasAMeaning) {
    struct Case {
        const char* what;
        std::vector<Insn> insns;
        uint32_t result;
    };
    for (const Case& one : {
             Case{"shift count is masked",
                  {mov(0, 3), insn(op::kAlu64 | op::kLsh, 0, 0, 0, 65), exit_insn()},
                  6},
             Case{"division by constant 0",
                  {mov(0, 3), insn(op::kAlu64 | op::kDiv, 0, 0, 0, 0), exit_insn()},
                  0},
             Case{"modulo by constant 0",
                  {mov(0, 3), insn(op::kAlu64 | op::kMod, 0, 0, 0, 0), exit_insn()},
                  3},
             Case{"unset register reads 0", {mov_reg(0, 7), exit_insn()}, 0},
             Case{"packet load", {insn(op::kLd | op::kAbs | op::kH, 0, 0, 0, 12), exit_insn()}, 0x0800},
             Case{"packet load past the end",
                  {insn(op::kLd | op::kAbs | op::kW, 0, 0, 0, 61), mov(0, 5), exit_insn()},
                  0},
         }) {
        RawObject raw;
        raw.add(one.insns);
        vm::Options options;
        options.mode = vm::Mode::Permissive;
        auto loaded = vm::make_target(options)->load(raw.share(), {});
        ASSERT_TRUE(loaded) << one.what << ": " << loaded.error().message();
        const auto result = (*loaded)->programs().front()->run(packet_of(64), {});
        ASSERT_TRUE(result);
        EXPECT_FALSE(result->fault) << one.what;
        EXPECT_EQ(result->ret, one.result) << one.what;
    }
}

} // namespace

} // namespace mimicsh::test
