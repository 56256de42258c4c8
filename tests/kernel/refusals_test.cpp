// SPDX-License-Identifier: MIT
// What the emulator refuses in strict mode the kernel refuses too, and what the kernel loads the emulator
// loads.
#include <algorithm>
#include <set>

#include "tests/kernel/parity.h"
#include "tests/unit/vm/fault_cases.h"
#include "tests/unit/vm/refusal_cases.h"

namespace mimicsh::test {

namespace {

class RefusalParity : public ParityTest {};

TEST_F(RefusalParity, KernelRefusesWhatTheEmulatorRefuses) {
    for (const RefusalCase& one : refusal_cases()) {
        const auto object = one.make();
        ASSERT_NE(object, nullptr) << one.name;
        const auto there = kernel_target()->load(object, {});
        EXPECT_FALSE(there) << one.name << ": the kernel loads it, so the emulator is too strict";
    }
}

void expect_refused(const std::string& source) {
    const auto object = compile_text(source);
    ASSERT_NE(object, nullptr);
    EXPECT_FALSE(kernel_target()->load(object, {})) << "the kernel loads it";
}

TEST_F(RefusalParity, KernelRefusesWhatTheEmulatorRefusesInC) {
    for (const SourceRefusal& one : source_refusals()) {
        SCOPED_TRACE(one.body);
        expect_refused(refused_source(one));
    }
}

TEST_F(RefusalParity, KernelRefusesWhatOnlyPermissiveModeRuns) {
    for (const PermissiveCase& one : permissive_cases()) {
        RawObject raw;
        raw.add(one.insns);
        EXPECT_FALSE(kernel_target()->load(raw.share(), {})) << one.what;
        EXPECT_FALSE(vm::make_target()->load(raw.share(), {})) << one.what << " in strict mode";
    }
}

TEST_F(RefusalParity, KernelRunsTheNeighbours) {
    for (const RefusalCase& one : accepted_cases()) {
        SCOPED_TRACE(one.name);
        open(one.make());
        ASSERT_TRUE(ready());
        run_both("main", packet_of(64));
    }
}

TEST_F(RefusalParity, KernelRefusesWhatFaults) {
    for (const FaultCase& one : fault_cases()) {
        SCOPED_TRACE(one.name);
        if (one.section != "memory") {
            expect_refused(fault_source(one));
        }
    }
}

TEST_F(RefusalParity, KernelRunsWhatWarnsUnlessTheWarningSaysItWillRefuse) {
    // What these store is uninitialised stack.
    const std::set<std::string> differ{"uninitialised stack", "half initialised stack"};
    for (const FaultCase& one : warning_cases()) {
        SCOPED_TRACE(one.name);
        if (one.name.find("unchecked") != std::string::npos) {
            expect_refused(fault_source(one));
            continue;
        }
        open(compile_text(fault_source(one)));
        ASSERT_TRUE(ready());
        if (differ.contains(one.name)) {
            run_both_apart_from_maps("filter", packet_of(one.packet));
        } else {
            run_both("filter", packet_of(one.packet));
        }
    }
}

/// Calls with an argument in packet memory, `data`, of which 64 bytes were looked at.
constexpr const char* kPacketArguments[] = {
    "return bpf_map_lookup_elem(&hash, data) != 0;",
    "return bpf_map_update_elem(&hash, data, data + 8, 0);",
    "return bpf_map_delete_elem(&hash, data);",
    "return bpf_map_push_elem(&queue, data, 0);",
    "return bpf_map_pop_elem(&queue, data);",
    "return bpf_map_peek_elem(&queue, data);",
    "return bpf_csum_diff(data, 4, data + 4, 4, 0) & 1;",
    "struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, data, 12, -1, 0); if (sk) bpf_sk_release(sk); return 1;",
    "struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, data, 12, -1, 0); if (sk) bpf_sk_release(sk); return 1;",
    "return bpf_ringbuf_output(&ring, data, 16, 0);",
    "return bpf_perf_event_output(skb, &events, 0, data, 16);",
    "return bpf_skb_store_bytes(skb, 0, data + 20, 16, 0);",
    "return bpf_skb_load_bytes(skb, 0, data + 20, 16);",
    "return bpf_skb_load_bytes_relative(skb, 0, data + 20, 16, 0);",
    "long n; return bpf_strtol(data, 8, 0, &n);",
    "return bpf_strncmp(data, 8, text);",
    "return bpf_trace_printk(data, 16);",
    "return bpf_snprintf(data, 16, text, 0, 0);",
    "return bpf_probe_read_kernel(data, 8, &one);",
    "return bpf_skb_set_tunnel_key(skb, data, sizeof(struct bpf_tunnel_key), 0);",
    "return bpf_skb_get_tunnel_key(skb, data, sizeof(struct bpf_tunnel_key), 0);",
    "return bpf_skb_set_tunnel_opt(skb, data, 16);",
    "struct bpf_dynptr d; bpf_dynptr_from_mem(data, 8, 0, &d); return 1;",
    "struct bpf_dynptr d; bpf_dynptr_from_mem(&one, 8, 0, &d); return bpf_dynptr_read(data, 8, &d, 0, 0);",
    "struct bpf_dynptr d; bpf_dynptr_from_mem(&one, 8, 0, &d); return bpf_dynptr_write(&d, 0, data, 8, 0);",
};

TEST_F(RefusalParity, ArgumentsInPackets) {
    size_t refused = 0;
    for (const char* body : kPacketArguments) {
        SCOPED_TRACE(body);
        const auto object = compile_text(std::string(kPrelude) + R"(
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); }
	hash SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, __u64); } queue SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(max_entries, 4); __type(key, __u32);
	__type(value, __u32); } events SEC(".maps");
const char text[8] = "abc";
__u64 one = 1;
SEC("tc") int filter(struct __sk_buff *skb) {
	void *data = (void *)(long)skb->data;
	if (data + 64 > (void *)(long)skb->data_end) return 0;
)" + std::string(body) + "\n}\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n");
        ASSERT_NE(object, nullptr);
        const bool loads = kernel_target()->load(object, {}).has_value();
        const auto here = vm::make_target()->load(object, {});
        ASSERT_TRUE(here) << here.error().message();
        const auto result = (*here)->find_program("filter")->run(packet_of(128), {});
        ASSERT_TRUE(result) << result.error().message();
        const bool warned = std::ranges::any_of(result->warnings, &Warning::refused);
        EXPECT_EQ(warned, !loads) << (warned ? result->warnings[0].cause : "no warning");
        refused += loads ? 0 : 1;
    }
    EXPECT_GT(refused, 10u);
}

TEST_F(RefusalParity, KernelRunsTheirCleanRelatives) {
    const OnFirstCpu pin; // some write per-CPU values
    for (const FaultCase& one : clean_cases()) {
        SCOPED_TRACE(one.name);
        if (one.section == "memory") {
            continue;
        }
        open(compile_text(fault_source(one)));
        ASSERT_TRUE(ready());
        run_both("filter", packet_of(one.packet));
    }
}

} // namespace

} // namespace mimicsh::test
