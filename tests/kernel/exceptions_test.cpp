// SPDX-License-Identifier: MIT
// bpf_throw on both targets: results, what ran before it, and what the kernel does not load.
#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

class ExceptionParity : public MapParity {};

TEST_F(ExceptionParity, Throws) {
    open_case("exceptions");
    ASSERT_TRUE(ready());
    for (const char* program : {"plain", "handled", "handled_xdp"}) {
        for (const uint64_t where : {0, 1, 2, 3}) {
            for (const uint64_t cookie : {0ull, 1ull, 2ull, 77ull, 0xffffffffull, 0x1234567890abcdefull}) {
                SCOPED_TRACE(testing::Message() << program << " " << where << " " << cookie);
                run(program, {where, cookie});
            }
        }
    }
}

TEST_F(ExceptionParity, WhatMayNotThrow) {
    const std::string text = R"(
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        extern void bpf_throw(__u64 cookie) __ksym;
        extern void bpf_rcu_read_lock(void) __ksym;
        struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
        static int body(__u32 index, void *context) { bpf_throw(1); return 0; }
        SEC("xdp") int throws(struct xdp_md *ctx) { )";
    for (const char* before :
         {"bpf_rcu_read_lock();", "void *r = bpf_ringbuf_reserve(&ring, 8, 0); if (!r) return 0;",
          "bpf_loop(2, body, 0, 0);"}) {
        const auto object = compile_text(
            text + before + " bpf_throw(1); return 0; } char LICENSE[] SEC(\"license\") = \"GPL\";");
        ASSERT_NE(object, nullptr);
        const auto real = kernel_target()->load(object, {});
        EXPECT_FALSE(real) << before;
        auto emulated = vm::make_target()->load(object, {});
        ASSERT_TRUE(emulated) << emulated.error().message();
        const auto result = (*emulated)->find_program("throws")->run(packet_of(64), {});
        ASSERT_TRUE(result && result->fault) << before;
        EXPECT_EQ(result->fault->kind, FaultKind::Strict);
        EXPECT_NE(result->fault->report.find("bpf_throw"), std::string::npos) << result->fault->report;
    }
}

} // namespace

} // namespace mimicsh::test
