// SPDX-License-Identifier: MIT
// What older kernels lack: every row of the table, and each kind of refusal at load.
#include <gtest/gtest.h>

#include "tests/unit/vm/raw.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/support.h"
#include "vm/versions.h"

namespace mimicsh::test {

namespace {

using abi::MapType;
using abi::ProgType;
using vm::KernelVersion;
using enum vm::KernelVersion;

TEST(Versions, NamesGoBothWays) {
    for (const KernelVersion version : vm::kKernelVersions) {
        EXPECT_EQ(vm::kernel_version(vm::name(version)), version);
    }
    for (const char* other : {"6.2", "6", "", "6.18.1"}) {
        EXPECT_FALSE(vm::kernel_version(other)) << other;
    }
}

/// Counted in the sources of 6.1.192 and 6.12.117: cases of the functions that give programs their helpers.
TEST(Versions, HelpersThatEachTypeCanCall) {
    struct Case {
        ProgType type;
        size_t in_6_1, in_6_12, in_6_18;
    };
    for (const Case& one : {Case{ProgType::SocketFilter, 66, 72, 88}, Case{ProgType::SchedCls, 118, 124, 139},
                            Case{ProgType::SchedAct, 118, 124, 139}, Case{ProgType::Xdp, 83, 89, 104},
                            Case{ProgType::CgroupSkb, 81, 87, 103}, Case{ProgType::FlowDissector, 62, 68, 83},
                            Case{ProgType::LwtIn, 70, 76, 90}, Case{ProgType::LwtOut, 69, 75, 89},
                            Case{ProgType::LwtXmit, 84, 90, 104}}) {
        size_t counts[3]{};
        for (uint32_t id = 0; id < abi::kHelperCount; ++id) {
            for (const KernelVersion version : vm::kKernelVersions) {
                counts[static_cast<size_t>(version)] +=
                    vm::helper_allowed(one.type, id) && vm::since_helper(one.type, id) <= version ? 1 : 0;
            }
        }
        EXPECT_EQ(counts[0], one.in_6_1) << abi::name(one.type);
        EXPECT_EQ(counts[1], one.in_6_12) << abi::name(one.type);
        EXPECT_EQ(counts[2], one.in_6_18) << abi::name(one.type);
    }
}

TEST(Versions, EveryKernelFunctionHasARow) {
    const auto rows = vm::kfunc_versions();
    for (const vm::KfuncRow& kfunc : vm::kfunc_rows()) {
        EXPECT_EQ(std::ranges::count(rows, kfunc.name, &vm::KfuncVersion::name), 1) << kfunc.name;
    }
}

TEST(Versions, EveryInstructionOfAKernelHasAVersion) {
    size_t counts[3]{};
    for (const InsnForm& form : insn_forms()) {
        const auto since = vm::since_insn(form);
        EXPECT_TRUE(since || vm::insn_state(form) == vm::State::Refused) << form.mnemonic;
        if (since) {
            ++counts[static_cast<size_t>(*since)];
        }
        const bool is_new = form.mnemonic.starts_with("load_acq") || form.mnemonic.starts_with("store_rel");
        EXPECT_EQ(since == V6_18, is_new) << form.mnemonic;
    }
    EXPECT_GE(counts[0], 150u);
    EXPECT_GE(counts[1], 15u);
}

// -- Refusals --

/// The message with which a program is refused for a kernel, "" when it loads.
std::string refusal(const std::shared_ptr<const Object>& object, KernelVersion kernel,
                    vm::Mode mode = vm::Mode::Strict) {
    vm::Options options;
    options.kernel = kernel;
    options.mode = mode;
    const auto loaded = vm::make_target(options)->load(object, {});
    return loaded ? "" : loaded.error().message();
}

struct Refused {
    const char* name;
    const char* text;  ///< what follows the prelude
    const char* error; ///< in the kernels before `since`, with its name for $
    KernelVersion since;
};

void PrintTo(const Refused& one, std::ostream* out) {
    *out << one.name;
}

class VersionRefusals : public testing::TestWithParam<Refused> {};

TEST_P(VersionRefusals, NameWhatIsMissingAndSinceWhen) {
    const Refused& one = GetParam();
    const auto object =
        compile_text(std::string(kPrelude) + "char LICENSE[] SEC(\"license\") = \"GPL\";\n" + one.text);
    ASSERT_NE(object, nullptr);
    for (const KernelVersion version : vm::kKernelVersions) {
        const std::string error = refusal(object, version);
        if (version >= one.since) {
            EXPECT_EQ(error, "") << vm::name(version);
            continue;
        }
        const std::string wanted = std::string(one.error) + " there since Linux " +
                                   std::string(vm::name(one.since)) + ", not in " +
                                   std::string(vm::name(version));
        EXPECT_NE(error.find(wanted), std::string::npos) << error << "\nexpected: " << wanted;
        if (std::string_view(one.error).find("map ") != 0) {
            EXPECT_NE(error.find(".c:"), std::string::npos) << "no source line: " << error;
        }
        EXPECT_EQ(refusal(object, version, vm::Mode::Permissive), "") << vm::name(version);
    }
}

const Refused kRefused[] = {
    {"helper", "SEC(\"xdp\") int check(struct xdp_md *ctx) { return bpf_get_current_pid_tgid() & 1; }",
     "bpf_get_current_pid_tgid for xdp programs is", V6_12},
    {"helper of the newest",
     "SEC(\"tc\") int check(struct __sk_buff *ctx) { return bpf_get_current_uid_gid() & 1; }",
     "bpf_get_current_uid_gid for sched_cls programs is", V6_18},
    {"helper that another type could always call",
     "SEC(\"xdp\") int check(struct xdp_md *ctx) { return bpf_get_cgroup_classid((void *)ctx) & 1; }",
     "bpf_get_cgroup_classid for xdp programs is", V6_18},
    {"kernel function",
     R"(extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
SEC("xdp") int check(struct xdp_md *ctx) { bpf_rcu_read_lock(); bpf_rcu_read_unlock(); return 2; })",
     "kernel function bpf_rcu_read_lock is", V6_12},
    {"kernel function of the newest",
     R"(extern int bpf_xdp_pull_data(struct xdp_md *ctx, __u32 size) __ksym;
SEC("xdp") int check(struct xdp_md *ctx) { return bpf_xdp_pull_data(ctx, 20) ? 1 : 2; })",
     "kernel function bpf_xdp_pull_data is", V6_18},
    {"instruction", R"(SEC("xdp") int check(struct xdp_md *ctx) {
    asm volatile("r0 = 200; .8byte %[movsx]" :: [movsx]"i"(0x00000000000800bfull) : "r0");
    return 2; })",
     "instruction movsx8_64 is", V6_12},
    {"may_goto", R"(SEC("xdp") int check(struct xdp_md *ctx) {
    asm volatile(".8byte %[may_goto]; r0 = 0" :: [may_goto]"i"(0x00000000000000e5ull) : "r0");
    return 2; })",
     "instruction may_goto is", V6_12},
    {"map type", R"(struct { __uint(type, 32); __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int); __type(value, __u64); } storage SEC(".maps");
SEC("xdp") int check(struct xdp_md *ctx) { return 2; })",
     "map storage: type cgrp_storage is", V6_12},
    {"field of values",
     R"(struct bpf_wq_value { struct bpf_wq { __u64 opaque[2]; } __attribute__((aligned(8))) work; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
    __type(value, struct bpf_wq_value); } works SEC(".maps");
SEC("xdp") int check(struct xdp_md *ctx) { return 2; })",
     "map works: struct bpf_wq in values is", V6_12},
    {"lock of the newest", R"(struct locked { struct bpf_res_spin_lock { __u32 val; } lock; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
    __type(value, struct locked); } locks SEC(".maps");
SEC("xdp") int check(struct xdp_md *ctx) { return 2; })",
     "map locks: struct bpf_res_spin_lock in values is", V6_18},
};

INSTANTIATE_TEST_SUITE_P(Kinds, VersionRefusals, testing::ValuesIn(kRefused));

TEST(Versions, WeakKernelFunctionsAreAbsent) {
    const auto object = compile_text(std::string(kPrelude) + R"(char LICENSE[] SEC("license") = "GPL";
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;
SEC("xdp") int check(struct xdp_md *ctx) {
    if (!(long)&bpf_rcu_read_lock)
        return XDP_DROP;
    bpf_rcu_read_lock();
    bpf_rcu_read_unlock();
    return XDP_PASS;
})");
    ASSERT_NE(object, nullptr);
    for (const KernelVersion version : vm::kKernelVersions) {
        vm::Options options;
        options.kernel = version;
        auto instance = vm::make_target(options)->load(object, {});
        ASSERT_TRUE(instance) << instance.error().message();
        const auto result = (*instance)->programs().front()->run(packet_of(64), {});
        ASSERT_TRUE(result && !result->fault);
        EXPECT_EQ(result->ret, version == V6_1 ? 1u : 2u) << vm::name(version);
    }
}

TEST(Versions, LaterFlagsOfHelpersAreNotKnown) {
    const auto object = compile_text(std::string(kPrelude) + R"(char LICENSE[] SEC("license") = "GPL";
struct { int with, without; } io;
SEC("tc") int check(struct __sk_buff *skb) {
    io.without = bpf_skb_adjust_room(skb, 8, BPF_ADJ_ROOM_MAC, 0);
    io.with = bpf_skb_adjust_room(skb, -8, BPF_ADJ_ROOM_MAC, 1ull << 7);
    return 0;
})");
    ASSERT_NE(object, nullptr);
    ByteVec packet = packet_of(64);
    packet[12] = 8; // IPv4
    packet[13] = 0;
    int32_t with[3]{};
    for (const KernelVersion version : vm::kKernelVersions) {
        vm::Options options;
        options.kernel = version;
        auto instance = vm::make_target(options)->load(object, {});
        ASSERT_TRUE(instance) << instance.error().message();
        const auto result = (*instance)->programs().front()->run(packet, {});
        ASSERT_TRUE(result && !result->fault);
        const ByteVec numbers = value_of(**instance, ".bss");
        with[static_cast<size_t>(version)] = mimicsh::load<int32_t>(numbers.data());
        EXPECT_EQ(mimicsh::load<int32_t>(numbers.data() + 4), 0) << vm::name(version);
    }
    EXPECT_EQ(with[0], -EINVAL);
    EXPECT_EQ(with[1], with[2]);
    EXPECT_NE(with[1], -EINVAL);
}

/// struct bpf_ct_opts had no zone, and 12 bytes.
TEST(Versions, ConntrackOptionsGrew) {
    const auto object = compile_text(std::string(kPrelude) + R"(char LICENSE[] SEC("license") = "GPL";
struct nf_conn;
struct options { __s32 netns_id; __s32 error; __u8 l4proto, dir; __u16 zone; __u8 zone_dir, reserved[3]; };
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *, struct bpf_sock_tuple *, __u32, struct options *, __u32) __ksym;
extern void bpf_ct_release(struct nf_conn *) __ksym;
SEC("xdp") int check(struct xdp_md *ctx) {
    struct bpf_sock_tuple tuple = {};
    struct options options = { .netns_id = -1, .l4proto = 17 };
    struct nf_conn *ct = bpf_xdp_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
    if (ct)
        bpf_ct_release(ct);
    return -options.error;
})");
    ASSERT_NE(object, nullptr);
    for (const KernelVersion version : vm::kKernelVersions) {
        vm::Options options;
        options.kernel = version;
        options.world = vm::parse_world(R"({"conntrack": []})").value();
        auto instance = vm::make_target(options)->load(object, {});
        ASSERT_TRUE(instance) << instance.error().message();
        const auto result = (*instance)->programs().front()->run(packet_of(64), {});
        ASSERT_TRUE(result && !result->fault);
        EXPECT_EQ(result->ret, static_cast<uint32_t>(version == V6_1 ? EINVAL : ENOENT)) << vm::name(version);
    }
}

} // namespace

} // namespace mimicsh::test
