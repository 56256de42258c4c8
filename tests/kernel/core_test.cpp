// SPDX-License-Identifier: MIT
// CO-RE accesses that the running kernel's types do not have: harmless behind a question, named where nothing
// asks.
#include <array>

#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class CoreParity : public ParityTest {};

constexpr std::string_view kTypes = R"(
#include <bpf/bpf_core_read.h>
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct xdp_md___mine { __u32 data; __u32 gone; struct { int list[4]; } inner; };
struct xdp_md___wide { long data; };
struct __sk_buff___mine { __u32 mark; __u32 gone; };
struct no_such_type { int a; };
#pragma clang attribute pop
enum bpf_map_type___mine { BPF_MAP_TYPE_NEVER___mine = 77, BPF_MAP_TYPE_RINGBUF___mine = 1 };
enum no_such_enum { NOT_A_VALUE = 3 };
enum bpf_func_id___mine { BPF_FUNC_never___mine = 9999, BPF_FUNC_ktime_get_ns___mine = 1 };
static long (*never)(void) = (void *)9999;
__u64 found;
char LICENSE[] SEC("license") = "GPL";
)";

/// A program that touches what the kernel has not, with the question that keeps it from that.
struct Access {
    const char* section;
    const char* question;
    const char* body;
    const char* text;
    const char* hint;
};

constexpr std::array kAccesses{
    Access{"xdp", "bpf_core_field_exists(x->gone)", "found = x->gone;",
           "the kernel's struct xdp_md has no field gone that fits (CO-RE access 0:1)",
           "ask with bpf_core_field_exists before the access"},
    Access{"xdp", "bpf_core_field_exists(x->inner.list[2])",
           "bpf_core_read(&found, sizeof(int), &x->inner.list[2]);",
           "the kernel's struct xdp_md has no field inner.list[2] that fits (CO-RE access 0:2:0:2)",
           "ask with bpf_core_field_exists before the access"},
    Access{"xdp", "bpf_core_field_exists(x->gone)", "found = bpf_core_field_size(x->gone);",
           "the kernel's struct xdp_md has no field gone that fits (CO-RE access 0:1)",
           "ask with bpf_core_field_exists before the access"},
    Access{"tc", "bpf_core_field_exists(b->gone)", "b->gone = 1;",
           "the kernel's struct __sk_buff has no field gone that fits (CO-RE access 0:1)",
           "ask with bpf_core_field_exists before the access"},
    Access{"tc", "bpf_core_field_exists(b->gone)", "b->mark = b->gone + 1;",
           "the kernel's struct __sk_buff has no field gone that fits (CO-RE access 0:1)",
           "ask with bpf_core_field_exists before the access"},
    Access{"xdp", "bpf_core_type_exists(struct no_such_type)", "found = ((struct no_such_type *)ctx)->a;",
           "the kernel has no struct no_such_type, and so no field a of it (CO-RE access 0:0)",
           "ask with bpf_core_field_exists before the access"},
    Access{"xdp", "bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_NEVER___mine)",
           "found = bpf_core_enum_value(enum bpf_map_type___mine, BPF_MAP_TYPE_NEVER___mine);",
           "the kernel's enum bpf_map_type has no value BPF_MAP_TYPE_NEVER (CO-RE access 0)",
           "ask with bpf_core_enum_value_exists before it is used"},
    Access{"tc", "bpf_core_enum_value_exists(enum no_such_enum, NOT_A_VALUE)",
           "found = bpf_core_enum_value(enum no_such_enum, NOT_A_VALUE);",
           "the kernel has no enum no_such_enum, and so no value NOT_A_VALUE of it (CO-RE access 0)",
           "ask with bpf_core_enum_value_exists before it is used"},
    Access{"xdp", "bpf_core_field_size(w->data) == 8", "found = w->data;",
           "field data of the kernel's struct xdp_md has 4 bytes and not 8 (CO-RE access 0:0)",
           "declare it with the kernel's type, or as an unsigned integer"},
};

std::shared_ptr<const Object> program_of(const Access& one, const std::string& question) {
    return compile_text(std::string(kPrelude) + std::string(kTypes) + "SEC(\"" + one.section +
                        "\") int prog(void *ctx) {\n"
                        "struct xdp_md___mine *x = ctx; struct xdp_md___wide *w = ctx; "
                        "struct __sk_buff___mine *b = ctx;\n"
                        "if (" +
                        question + ") {\n" + one.body + "\n}\nreturn 2; }\n");
}

TEST_F(CoreParity, WhatIsAskedForFirstRuns) {
    for (const Access& one : kAccesses) {
        SCOPED_TRACE(testing::Message() << one.question << " " << one.body);
        open(program_of(one, one.question));
        ASSERT_TRUE(ready());
        EXPECT_EQ(run_both("prog", packet_of(64)).ret, 2u);
    }
}

TEST_F(CoreParity, WhatIsNotAskedForIsNamed) {
    for (const Access& one : kAccesses) {
        SCOPED_TRACE(testing::Message() << one.section << " " << one.body);
        const auto object = program_of(one, "1");
        ASSERT_NE(object, nullptr);
        const auto there = kernel_target()->load(object, {});
        ASSERT_FALSE(there);
        EXPECT_NE(there.error().text.find(one.text), std::string::npos) << there.error().text;
        EXPECT_NE(there.error().text.find("test.c:"), std::string::npos) << there.error().text;
        EXPECT_EQ(there.error().hint, one.hint);
        for (const vm::Mode mode : {vm::Mode::Strict, vm::Mode::Permissive}) {
            vm::Options options;
            options.mode = mode;
            auto here = vm::make_target(options)->load(object, {});
            ASSERT_TRUE(here) << here.error().message();
            const auto result = (*here)->find_program("prog")->run(packet_of(64), {});
            ASSERT_TRUE(result && result->fault);
            EXPECT_EQ(result->fault->cause, one.text);
            EXPECT_EQ(result->fault->hint, one.hint);
            EXPECT_EQ(name(result->fault->kind), name(FaultKind::BadInstruction));
            // The kernel's error and the fault are about the same line.
            const std::string line = "test.c:" + std::to_string(result->fault->source.line) + ":";
            EXPECT_NE(there.error().text.find(line), std::string::npos) << there.error().text << " " << line;
        }
    }
}

TEST_F(CoreParity, OnlyPacketsThatGetThereFault) {
    const Access& one = kAccesses.front();
    const auto object =
        program_of(one, "((struct xdp_md *)ctx)->data_end - ((struct xdp_md *)ctx)->data > 64");
    ASSERT_NE(object, nullptr);
    EXPECT_FALSE(kernel_target()->load(object, {}));
    auto here = vm::make_target()->load(object, {});
    ASSERT_TRUE(here) << here.error().message();
    for (const size_t size : {14, 64, 65, 64}) {
        const auto result = (*here)->find_program("prog")->run(packet_of(size), {});
        ASSERT_TRUE(result);
        EXPECT_EQ(result->fault.has_value(), size == 65) << size;
    }
}

TEST_F(CoreParity, WhatTheAnswerLeavesOutIsNotLookedAt) {
    const auto with = [](const std::string& question) {
        return program_of({"xdp", "", "found = never();", "", ""}, question);
    };
    for (const char* question :
         {"bpf_core_enum_value_exists(enum bpf_func_id___mine, BPF_FUNC_never___mine)",
          "!bpf_core_enum_value_exists(enum bpf_func_id___mine, BPF_FUNC_ktime_get_ns___mine)",
          "bpf_core_type_exists(struct no_such_type)", "bpf_core_type_size(struct no_such_type) > 3",
          "bpf_core_field_exists(x->gone)", "!bpf_core_field_exists(x->data)"}) {
        SCOPED_TRACE(question);
        open(with(question));
        ASSERT_TRUE(ready());
        EXPECT_EQ(run_both("prog", packet_of(64)).ret, 2u);
    }
    for (const char* question :
         {"!bpf_core_enum_value_exists(enum bpf_func_id___mine, BPF_FUNC_never___mine)",
          "bpf_core_field_exists(x->data)", "bpf_core_field_size(x->data) == 4"}) {
        const auto object = with(question);
        ASSERT_NE(object, nullptr);
        EXPECT_FALSE(vm::make_target()->load(object, {})) << question;
        EXPECT_FALSE(kernel_target()->load(object, {})) << question;
    }
}

} // namespace

} // namespace mimicsh::test
