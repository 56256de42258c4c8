// SPDX-License-Identifier: MIT
// What decides whether a program loads, beyond single instructions: branches that read-only data leaves out,
// the stack of a call chain; and packet loads, which only some types may use.
#include <array>

#include "tests/kernel/parity.h"
#include "vm/support.h"

namespace mimicsh::test {

namespace {

using abi::ProgType;

class LoadRules : public ParityTest {
  protected:
    /// Whether each target loads the object.
    static std::pair<bool, bool> loads(const std::shared_ptr<const Object>& object,
                                       const LoadOptions& options = {}) {
        const auto here = vm::make_target()->load(object, options);
        const auto there = kernel_target()->load(object, options);
        return {here.has_value(), there.has_value()};
    }
};

constexpr std::string_view kSwitched = R"(
const volatile __u32 level;
const volatile struct { __u32 unused; __u8 flags; } config;
SEC("xdp") int prog(struct xdp_md *ctx) {
    int verdict = 2;
    if (level)
        verdict = bpf_skb_pull_data((void *)ctx, 0);
    if ((config.flags & 4) && level < 7)
        verdict = bpf_get_socket_uid((void *)ctx);
    return verdict;
}
)";

TEST_F(LoadRules, WhatReadOnlyDataLeavesOutIsNotLookedAt) {
    const auto object = compile_text(std::string(kPrelude) + std::string(kSwitched));
    ASSERT_NE(object, nullptr);
    open(object);
    ASSERT_TRUE(ready());
    run_both("prog", packet_of(64));
    const MapDef* data = object->find_map(".rodata");
    ASSERT_NE(data, nullptr);
    ASSERT_GE(data->value_size, 9u);
    for (uint32_t at = 0; at < data->value_size; ++at) {
        LoadOptions options;
        options.data[".rodata"] = ByteVec(data->value_size);
        options.data[".rodata"][at] = 4;
        const auto [here, there] = loads(object, options);
        EXPECT_EQ(here, there) << "byte " << at << " is 4";
    }
    LoadOptions level;
    level.data[".rodata"] = ByteVec(data->value_size, 1);
    EXPECT_EQ(loads(object, level), (std::pair{false, false}));
}

TEST_F(LoadRules, NegationAndByteOrderMakeNumbersOfPointers) {
    for (const int code : {op::kAlu | op::kNeg, op::kAlu64 | op::kNeg, op::kAlu | op::kEnd,
                           op::kAlu | op::kEnd | op::kX, op::kAlu64 | op::kEnd}) {
        for (const int pointer : {1, 2, 3, 4, 10}) {
            for (const bool reads : {false, true}) {
                RawObject raw;
                raw.add({load(op::kW, 2, 1, 0), load(op::kW, 3, 1, 4)}).load_value(4, raw.add_data(8));
                raw.add({mov_reg(5, pointer), insn(code, 5, 0, 0, (code & 0xf0) == op::kEnd ? 32 : 0)});
                raw.add(reads ? load(op::kB, 5, 5, 0) : mov(5, 0)).add({mov(0, 2), exit_insn()});
                const auto object = raw.share();
                SCOPED_TRACE(testing::Message() << code << " on r" << pointer << " read " << reads);
                EXPECT_EQ(loads(object), (std::pair{!reads, !reads}));
                if (!reads) {
                    open(object);
                    ASSERT_TRUE(ready());
                    run_both("main", packet_of(64));
                }
            }
        }
    }
}

TEST_F(LoadRules, FramesAreRoundedUpTogether) {
    size_t accepted = 0;
    for (const int caller : {8, 241, 480, 481, 488, 496, 497, 504, 512}) {
        for (const int callee : {0, 1, 8, 16, 17, 32, 33, 256, 272, 512}) {
            RawObject raw;
            raw.add(store_imm(op::kB, 10, -caller, 1)).call_function(1).add({mov(0, 2), exit_insn()});
            raw.begin_function("callee");
            if (callee != 0) {
                raw.add(store_imm(op::kB, 10, -callee, 1));
            }
            raw.add({mov(0, 0), exit_insn()});
            const auto [here, there] = loads(raw.share());
            EXPECT_EQ(here, there) << caller << " bytes call " << callee;
            accepted += there ? 1 : 0;
        }
    }
    EXPECT_GE(accepted, 20u);
    EXPECT_LE(accepted, 70u);
}

/// Whether the two targets name the licence as what is wrong.
std::pair<bool, bool> blame_license(const std::shared_ptr<const Object>& object) {
    const auto here = vm::make_target()->load(object, {});
    const auto there = kernel_target()->load(object, {});
    return {!here && here.error().message().find("GPL-compatible licence") != std::string::npos,
            !there && there.error().log.find("GPL") != std::string::npos};
}

TEST_F(LoadRules, HelpersThatWantALicense) {
    size_t wanting = 0;
    for (const ProgType type : {ProgType::Xdp, ProgType::SchedCls, ProgType::SocketFilter,
                                ProgType::CgroupSkb, ProgType::LwtXmit, ProgType::FlowDissector}) {
        for (uint32_t id = 1; id < abi::kHelperCount; ++id) {
            if (!vm::helper_allowed(type, id)) {
                continue;
            }
            RawObject raw;
            raw.object.license = "Proprietary";
            raw.object.functions.front().spec =
                ProgramSpec{type, usual_attach_type(type).value_or(abi::AttachType::None), 0, {}};
            raw.add({call(static_cast<int>(id)), mov(0, 0), exit_insn()});
            const auto [here, there] = blame_license(raw.share());
            EXPECT_EQ(here, there) << abi::name(type) << " bpf_" << abi::helper_name(id);
            wanting += there ? 1 : 0;
        }
    }
    EXPECT_GE(wanting, 80u);
}

TEST_F(LoadRules, LicensesThatCountAsGpl) {
    constexpr std::string_view kSource = R"(
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
SEC("xdp") int helper(struct xdp_md *ctx) { char text[] = "x"; bpf_trace_printk(text, 2); return 2; }
SEC("xdp") int kfunc(struct xdp_md *ctx) { bpf_rcu_read_lock(); bpf_rcu_read_unlock(); return 2; }
SEC("xdp") int neither(struct xdp_md *ctx) { return 2; }
)";
    const auto compiled = compile_text(std::string(kPrelude) + std::string(kSource));
    ASSERT_NE(compiled, nullptr);
    for (const auto& [license, counts] : {std::pair{"GPL", true},
                                          {"GPL v2", true},
                                          {"GPL and additional rights", true},
                                          {"Dual BSD/GPL", true},
                                          {"Dual MIT/GPL", true},
                                          {"Dual MPL/GPL", true},
                                          {"gpl", false},
                                          {"GPL-2.0", false},
                                          {"GPL v3", false},
                                          {"MIT", false},
                                          {"", false}}) {
        for (const std::string_view name : {"helper", "kfunc", "neither"}) {
            Object object = *compiled;
            object.license = license;
            std::erase_if(object.functions, [&](const Function& one) { return one.name != name; });
            const bool blamed = !counts && name != "neither";
            EXPECT_EQ(blame_license(std::make_shared<const Object>(std::move(object))),
                      (std::pair{blamed, blamed}))
                << license << ", " << name;
        }
    }
}

/// A program that returns what one packet load gives.
std::shared_ptr<const Object> packet_load(ProgType type, int mode, int size, int index, int imm) {
    RawObject raw;
    raw.object.functions.front().spec = ProgramSpec{type, abi::AttachType::None, 0, {}};
    raw.add({mov_reg(6, 1), mov(2, index), insn(op::kLd | mode | size, 0, mode == op::kInd ? 2 : 0, 0, imm),
             exit_insn()});
    return raw.share();
}

TEST_F(LoadRules, PacketLoadsCountFromDataAndFromHeaders) {
    constexpr int kNetwork = -0x100000, kMac = -0x200000;
    const ByteVec packet = packet_of(64);
    for (const ProgType type : {ProgType::SocketFilter, ProgType::SchedCls, ProgType::SchedAct}) {
        for (const int size : {op::kB, op::kH, op::kW}) {
            for (const int offset : {0,
                                     1,
                                     13,
                                     46,
                                     50,
                                     60,
                                     61,
                                     62,
                                     63,
                                     64,
                                     INT32_MAX,
                                     -1,
                                     -4,
                                     -0x1000,
                                     kNetwork,
                                     kNetwork + 1,
                                     kNetwork + 49,
                                     kNetwork + 50,
                                     kNetwork - 1,
                                     kMac,
                                     kMac + 12,
                                     kMac + 60,
                                     kMac + 63,
                                     kMac + 64,
                                     kMac - 1,
                                     INT32_MIN}) {
                SCOPED_TRACE(testing::Message()
                             << abi::name(type) << " size " << size << " offset " << offset);
                open(packet_load(type, op::kAbs, size, 0, offset));
                ASSERT_TRUE(ready());
                run_both("main", packet);
                open(packet_load(type, op::kInd, size, 7,
                                 static_cast<int>(static_cast<uint32_t>(offset) - 7)));
                ASSERT_TRUE(ready());
                run_both("main", packet);
            }
        }
    }
}

TEST_F(LoadRules, PacketLoadsAreForFiltersAndClassifiers) {
    for (const ProgType type : {ProgType::Xdp, ProgType::CgroupSkb, ProgType::LwtIn, ProgType::LwtOut,
                                ProgType::LwtXmit, ProgType::SchedCls}) {
        const auto [here, there] = loads(packet_load(type, op::kAbs, op::kB, 0, 0));
        EXPECT_EQ(here, there) << abi::name(type);
    }
    RawObject raw;
    raw.object.functions.front().spec = ProgramSpec{ProgType::SchedCls, abi::AttachType::None, 0, {}};
    raw.add({mov(6, 0), insn(op::kLd | op::kAbs | op::kB, 0, 0, 0, 0), exit_insn()});
    EXPECT_EQ(loads(raw.share()), (std::pair{false, false}));
}

constexpr std::string_view kLocking = R"(
struct bpf_res_spin_lock { __u32 val; };
struct bpf_iter_num { __u64 opaque[1]; } __attribute__((aligned(8)));
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern int bpf_strlen(const char *text) __ksym;
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym;
extern void bpf_throw(__u64 cookie) __ksym;
unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");
struct plain { struct bpf_spin_lock lock; __u32 n; };
struct resilient { struct bpf_res_spin_lock lock; __u32 n; };
#define ONE(name, value_type) struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); \
	__type(key, __u32); __type(value, value_type); } name SEC(".maps");
ONE(plains, struct plain)
ONE(resilients, struct resilient)
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __type(key, __u32);
	__type(value, __u32); } programs SEC(".maps");
static __attribute__((noinline)) int inner(int x) { return x + 1; }
static __attribute__((noinline)) int inner_helper(int x) { return x + (bpf_ktime_get_ns() & 1); }
static __attribute__((noinline)) int inner_unlock(struct plain *v) { bpf_spin_unlock(&v->lock); return 2; }
static __attribute__((noinline)) int inner_lock(struct plain *v) { bpf_spin_lock(&v->lock); return 2; }
const char text[] = "abc";
char LICENSE[] SEC("license") = "GPL";
)";

/// A classifier, and whether it loads.
struct Held {
    const char* body;
    bool loads;
};

constexpr std::array kHeld{
    Held{"bpf_spin_lock(&v->lock); v->n++; bpf_spin_unlock(&v->lock); v->n = bpf_ktime_get_ns() != 0;", true},
    Held{"bpf_spin_lock(&v->lock); v->n = bpf_ktime_get_ns(); bpf_spin_unlock(&v->lock);", false},
    Held{"if (skb->len & 1) bpf_spin_lock(&v->lock); else bpf_spin_lock(&v->lock); bpf_get_prandom_u32(); "
         "bpf_spin_unlock(&v->lock);",
         false},
    Held{"bpf_spin_lock(&v->lock); v->n = inner(v->n); bpf_spin_unlock(&v->lock);", true},
    Held{"bpf_spin_lock(&v->lock); v->n = inner_helper(v->n); bpf_spin_unlock(&v->lock);", false},
    Held{"bpf_spin_lock(&v->lock); inner_unlock(v); v->n = bpf_ktime_get_ns() != 0;", true},
    Held{"inner_lock(v); bpf_spin_unlock(&v->lock);", true},
    Held{"inner_lock(v); v->n = bpf_ktime_get_ns(); bpf_spin_unlock(&v->lock);", false},
    Held{"struct bpf_iter_num it; int *i; bpf_spin_lock(&v->lock); bpf_iter_num_new(&it, 0, 3); "
         "while ((i = bpf_iter_num_next(&it))) v->n += *i; bpf_iter_num_destroy(&it); "
         "bpf_spin_unlock(&v->lock);",
         true},
    Held{"bpf_spin_lock(&v->lock); bpf_rcu_read_lock(); bpf_rcu_read_unlock(); bpf_spin_unlock(&v->lock);",
         false},
    Held{"bpf_spin_lock(&v->lock); bpf_preempt_disable(); bpf_preempt_enable(); bpf_spin_unlock(&v->lock);",
         false},
    Held{"bpf_rcu_read_lock(); bpf_preempt_disable(); bpf_spin_lock(&v->lock); v->n++; "
         "bpf_spin_unlock(&v->lock); bpf_preempt_enable(); bpf_rcu_read_unlock();",
         true},
    Held{"bpf_spin_lock(&v->lock); v->n = bpf_strlen(text); bpf_spin_unlock(&v->lock);", false},
    Held{"unsigned long f; bpf_spin_lock(&v->lock); bpf_local_irq_save(&f); bpf_local_irq_restore(&f); "
         "bpf_spin_unlock(&v->lock);",
         false},
    Held{"bpf_spin_lock(&v->lock); if (v->n) bpf_throw(1); bpf_throw(2);", false},
    Held{"bpf_spin_lock(&v->lock); if (!bpf_res_spin_lock(&w->lock)) { w->n++; "
         "bpf_res_spin_unlock(&w->lock); } bpf_spin_unlock(&v->lock);",
         true},
    Held{"if (!bpf_res_spin_lock(&w->lock)) { bpf_spin_lock(&v->lock); bpf_spin_unlock(&v->lock); "
         "bpf_res_spin_unlock(&w->lock); }",
         false},
    Held{"if (!bpf_res_spin_lock(&w->lock)) { w->n = bpf_ktime_get_ns(); bpf_res_spin_unlock(&w->lock); }",
         false},
    Held{"if (!bpf_res_spin_lock(&w->lock)) bpf_res_spin_unlock(&w->lock); w->n = bpf_ktime_get_ns() != 0;",
         true},
    Held{"v->n = load_byte(skb, 1);", true},
    Held{"bpf_spin_lock(&v->lock); v->n = load_byte(skb, 1); bpf_spin_unlock(&v->lock);", false},
    Held{"bpf_rcu_read_lock(); v->n = load_byte(skb, 1); bpf_rcu_read_unlock();", false},
    Held{"bpf_preempt_disable(); v->n = load_byte(skb, 1); bpf_preempt_enable();", false},
    Held{"bpf_preempt_disable(); bpf_preempt_enable(); v->n = load_byte(skb, 1);", true},
    Held{"char *r = bpf_ringbuf_reserve(&ring, 8, 0); if (!r) return 0; v->n = load_byte(skb, 1); "
         "bpf_ringbuf_discard(r, 0);",
         false},
    Held{"char *r = bpf_ringbuf_reserve(&ring, 8, 0); if (!r) return 0; bpf_ringbuf_discard(r, 0); "
         "v->n = load_byte(skb, 1);",
         true},
    Held{"bpf_tail_call(skb, &programs, 0);", true},
    Held{"bpf_rcu_read_lock(); bpf_tail_call(skb, &programs, 0); bpf_rcu_read_unlock();", false},
    Held{"bpf_preempt_disable(); bpf_tail_call(skb, &programs, 0); bpf_preempt_enable();", false},
    Held{"bpf_preempt_disable(); bpf_preempt_enable(); bpf_tail_call(skb, &programs, 0);", true},
    Held{"char *r = bpf_ringbuf_reserve(&ring, 8, 0); if (!r) return 0; bpf_tail_call(skb, &programs, 0); "
         "bpf_ringbuf_discard(r, 0);",
         false},
};

TEST_F(LoadRules, CallsAndPacketLoadsWithSomethingHeld) {
    for (const Held& one : kHeld) {
        SCOPED_TRACE(one.body);
        const auto object =
            compile_text(std::string(kPrelude) + std::string(kLocking) +
                         "SEC(\"tc\") int held(struct __sk_buff *skb) { __u32 key = 0; "
                         "struct plain *v = bpf_map_lookup_elem(&plains, &key); if (!v) return 1; "
                         "struct resilient *w = bpf_map_lookup_elem(&resilients, &key); if (!w) return 1; " +
                         one.body + " return 2; }\n");
        ASSERT_NE(object, nullptr);
        EXPECT_EQ(kernel_target()->load(object, {}).has_value(), one.loads);
        if (one.loads) {
            open(object);
            ASSERT_TRUE(ready());
            run_both("held", packet_of(64));
            continue;
        }
        // What the kernel refuses is refused here too, or is a fault of the run that gets there.
        const auto here = vm::make_target()->load(object, {});
        if (here) {
            const auto result = (*here)->find_program("held")->run(packet_of(64), {});
            ASSERT_TRUE(result);
            EXPECT_TRUE(result->fault);
        }
    }
}

TEST_F(LoadRules, CpuMasksAreNotForProgramsOnPackets) {
    for (const char* section : {"xdp", "tc", "socket", "cgroup_skb/ingress", "flow_dissector", "lwt_xmit"}) {
        const auto object =
            compile_text(std::string(kPrelude) +
                         "struct cpumask { unsigned long bits[128]; };\n"
                         "struct bpf_cpumask { struct cpumask cpumask; int usage; };\n"
                         "extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;\n"
                         "extern void bpf_cpumask_release(struct bpf_cpumask *mask) __ksym;\n"
                         "SEC(\"" +
                         section +
                         "\") int masks(void *ctx) { struct bpf_cpumask *mask = bpf_cpumask_create(); "
                         "if (mask) bpf_cpumask_release(mask); return 0; }\n"
                         "char LICENSE[] SEC(\"license\") = \"GPL\";\n");
        ASSERT_NE(object, nullptr);
        EXPECT_FALSE(kernel_target()->load(object, {})) << section;
        const auto here = vm::make_target()->load(object, {});
        ASSERT_FALSE(here) << section;
        EXPECT_NE(here.error().message().find("programs on packets may not call it"), std::string::npos)
            << here.error().message();
    }
}

TEST_F(LoadRules, SlicesToWriteToAreForProgramsThatWriteToPackets) {
    for (const char* section :
         {"xdp", "tc", "lwt_xmit", "lwt_in", "lwt_out", "socket", "cgroup_skb/ingress"}) {
        const std::string view =
            std::string_view(section) == "xdp" ? "bpf_dynptr_from_xdp" : "bpf_dynptr_from_skb";
        const auto object = compile_text(
            std::string(kPrelude) + "extern int " + view +
            "(void *context, __u64 flags, struct bpf_dynptr *view) __ksym;\n"
            "extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *view, __u32 offset, "
            "void *buffer, __u32 size) __ksym;\n"
            "SEC(\"" +
            section + "\") int writes(void *ctx) { struct bpf_dynptr view; char buffer[4] = {}; if (" + view +
            "(ctx, 0, &view)) return 0; char *bytes = bpf_dynptr_slice_rdwr(&view, 0, buffer, 4); "
            "if (bytes) bytes[0] = 1; return 0; }\n"
            "char LICENSE[] SEC(\"license\") = \"GPL\";\n");
        ASSERT_NE(object, nullptr);
        const auto [here, there] = loads(object);
        EXPECT_EQ(here, there) << section;
        EXPECT_EQ(there, std::string_view("xdp tc lwt_xmit").find(section) != std::string_view::npos)
            << section;
    }
}

} // namespace

} // namespace mimicsh::test
