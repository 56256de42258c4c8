// SPDX-License-Identifier: MIT
// Programs that want to run for ever, to use up all memory or the emulator's own stack.
#include <algorithm>
#include <cerrno>

#include <linux/bpf.h>
#include <malloc.h>

#include "tests/unit/vm/hostility.h"
#include "vm/address.h"
#include "vm/async.h"
#include "vm/machine.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

TEST_F(Hostility, NestsOfLoopHelpersEndWithTheBudget) {
    options_.budget = 100000;
    const RunResult result = run(R"(
static int third(__u32 i, void *ctx) { return 0; }
static int second(__u32 i, void *ctx) { bpf_loop(1 << 23, third, NULL, 0); return 0; }
static int first(__u32 i, void *ctx) { bpf_loop(1 << 23, second, NULL, 0); return 0; }
SEC("xdp") int prog(struct xdp_md *ctx) { bpf_loop(1 << 23, first, NULL, 0); return XDP_PASS; }
)");
    ASSERT_TRUE(result.fault);
    EXPECT_EQ(result.fault->kind, FaultKind::Budget) << result.fault->report;
}

TEST_F(Hostility, CallbacksTakeOnlyWhatTheyUseOfTheBudget) {
    options_.budget = 100000;
    const RunResult result = run(R"(
static int each(__u32 i, __u64 *sum)
{
    for (__u32 j = 0; j < 10; j++)
        *(volatile __u64 *)sum += j;
    return 0;
}
SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u64 sum = 0;

    bpf_loop(1000, each, &sum, 0);
    return sum == 45000 ? XDP_PASS : XDP_DROP;
}
)");
    EXPECT_FALSE(result.fault) << result.fault->report;
    EXPECT_EQ(result.ret, 2u);
}

TEST_F(Hostility, SearchesOfOneLongStringInAnotherCountAsSteps) {
    options_.budget = 100000;
    for (const char* call :
         {"bpf_strspn(text.long_one, text.other)", "bpf_strstr(text.long_one, text.other)"}) {
        const RunResult result = run(std::string(R"(
extern int bpf_strspn(const volatile char *s, const volatile char *accept) __ksym;
extern int bpf_strstr(const volatile char *s, const volatile char *find) __ksym;
struct { volatile char long_one[60000], other[60000]; } text SEC(".data.text");
SEC("xdp") int prog(struct xdp_md *ctx)
{
    int i;

    for (i = 0; i < 59998; i++) {
        text.long_one[i] = 'a';
        text.other[i] = i < 30000 == )") +
                                     (std::string(call).find("spn") != std::string::npos ? "0" : "1") +
                                     R"( ? 'a' : 'b';
    }
    return )" + call + R"( == -1;
}
)");
        ASSERT_TRUE(result.fault) << call;
        EXPECT_EQ(result.fault->kind, FaultKind::Budget) << result.fault->report;
    }
}

constexpr const char* kChain = R"(
typedef struct link link_type;
struct link { __u64 number; link_type __attribute__((btf_type_tag("kptr"))) *next; };
struct holder { link_type __attribute__((btf_type_tag("kptr"))) *first; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct holder);
} held SEC(".maps");
extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
static int grow(__u32 i, void *ctx)
{
    __u32 key = 0;
    struct holder *holder = bpf_map_lookup_elem(&held, &key);
    struct link *fresh, *old;

    if (!holder)
        return 1;
    fresh = bpf_obj_new_impl(__builtin_btf_type_id(*(struct link *)0, 0), NULL);
    if (!fresh)
        return 1;
    old = bpf_kptr_xchg(&holder->first, NULL);
    if (old) {
        old = bpf_kptr_xchg(&fresh->next, old);
        if (old)
            bpf_obj_drop_impl(old, NULL);
    }
    old = bpf_kptr_xchg(&holder->first, fresh);
    if (old)
        bpf_obj_drop_impl(old, NULL);
    return 0;
}
SEC("tc") int prog(struct __sk_buff *skb)
{
    __u32 key = 0;
    struct holder *holder = bpf_map_lookup_elem(&held, &key);
    struct link *first;
    long done = bpf_loop(COUNT, grow, NULL, 0);

    if (!holder)
        return 0;
    first = bpf_kptr_xchg(&holder->first, NULL);
    if (first)
        bpf_obj_drop_impl(first, NULL);
    return done == COUNT;
}
)";

TEST_F(Hostility, LongChainsOfObjectsAreDropped) {
    options_.mode = vm::Mode::Permissive;
    const RunResult result = run(std::string("\n#define COUNT 300000\n") + kChain);
    EXPECT_FALSE(result.fault) << result.fault->report;
    EXPECT_EQ(result.ret, 1u);
}

TEST_F(Hostility, ObjectsCountAgainstTheMemoryLimit) {
    options_.mode = vm::Mode::Permissive;
    options_.memory_limit = 1 << 20;
    const RunResult result = run(std::string("\n#define COUNT 300000\n") + kChain);
    EXPECT_FALSE(result.fault) << result.fault->report;
    EXPECT_EQ(result.ret, 0u); // bpf_obj_new gave NULL
}

TEST_F(Hostility, WhatARunKeepsIsLimited) {
    const RunResult result = run(R"(
extern void bpf_rcu_read_lock(void) __ksym;
SEC("xdp") int prog(struct xdp_md *ctx)
{
    for (;;)
        bpf_rcu_read_lock();
    return XDP_PASS;
}
)");
    ASSERT_TRUE(result.fault);
    EXPECT_EQ(result.fault->kind, FaultKind::Budget);
    EXPECT_EQ(result.fault->cause.substr(0, 14), "the run keeps ") << result.fault->report;
    // The next run begins anew.
    const RunResult again = run_again();
    ASSERT_TRUE(again.fault);
    EXPECT_EQ(again.fault->cause, result.fault->cause);
}

TEST_F(Hostility, TimersThatStartThemselvesEndWithTheBudget) {
    options_.budget = 10000;
    auto loaded = load(R"(
struct timed { struct bpf_timer timer; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct timed);
} timers SEC(".maps");
static int again(void *map, __u32 *key, struct timed *value)
{
    for (__u32 i = 0; i < 5000; i++)
        asm volatile("" : "+r"(i));
    bpf_timer_start(&value->timer, 0, 0);
    return 0;
}
SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u32 key = 0;
    struct timed *value = bpf_map_lookup_elem(&timers, &key);

    if (!value)
        return 0;
    bpf_timer_init(&value->timer, &timers, 1);
    bpf_timer_set_callback(&value->timer, again);
    bpf_timer_start(&value->timer, 0, 0);
    return 1;
}
)");
    ASSERT_TRUE(loaded) << loaded.error().message();
    instance_ = std::move(*loaded);
    EXPECT_EQ(run_again().ret, 1u);
    const auto advanced = instance_->advance(1);
    ASSERT_FALSE(advanced);
    EXPECT_EQ(advanced.error().code, ELOOP);
}

TEST_F(Hostility, HugeMapsAreRefusedBeforeMemoryIsTouched) {
    using abi::MapType;
    struct Case {
        MapType type;
        uint32_t key, value, entries, flags;
        int code;
    };
    for (const Case& one :
         {Case{MapType::Array, 4, 1u << 30, 1u << 31, 0, ENOMEM},
          Case{MapType::Array, 4, 8, UINT32_MAX, 0, ENOMEM}, Case{MapType::Array, 4, INT32_MAX, 3, 0, ENOMEM},
          Case{MapType::Array, 4, 1u << 31, 1, 0, E2BIG},
          Case{MapType::PercpuArray, 4, 32768, 1u << 31, 0, ENOMEM},
          Case{MapType::Hash, 4096, 65536, 1u << 27, 0, ENOMEM},
          Case{MapType::Hash, 4096, 65536, (1u << 27) + 1, 0, E2BIG},
          Case{MapType::LruHash, 4, 1, UINT32_MAX, 0, E2BIG},
          Case{MapType::DevmapHash, 4, 4, UINT32_MAX, 0, EINVAL},
          Case{MapType::LpmTrie, 8, 8, UINT32_MAX, abi::kMapNoPrealloc, ENOMEM},
          Case{MapType::Queue, 0, 1u << 20, 1u << 31, 0, ENOMEM},
          Case{MapType::BloomFilter, 0, 1u << 20, 1u << 31, 0, ENOMEM},
          Case{MapType::ProgArray, 4, 4, UINT32_MAX, 0, ENOMEM},
          Case{MapType::PerfEventArray, 4, 4, UINT32_MAX, 0, ENOMEM},
          Case{MapType::Devmap, 4, 8, UINT32_MAX, 0, ENOMEM},
          Case{MapType::Xskmap, 4, 4, UINT32_MAX, 0, ENOMEM},
          Case{MapType::Sockmap, 4, 4, UINT32_MAX, 0, ENOMEM},
          Case{MapType::Sockhash, 64, 8, UINT32_MAX, 0, ENOMEM}}) {
        RawObject raw;
        raw.add_map(map_def("huge", one.type, one.key, one.value, one.entries, one.flags));
        raw.add({mov(0, 2), exit_insn()});
        const auto loaded = vm::make_target(options_)->load(raw.share(), {});
        ASSERT_FALSE(loaded) << abi::name(one.type) << " " << one.entries;
        EXPECT_EQ(loaded.error().code, one.code) << loaded.error().message();
    }
}

TEST_F(Hostility, ObjectsAreCheckedBeforeTheirMapsAreMade) {
    auto object = compile_text(std::string(kPrelude) + "\n#define COUNT 1\n" + kChain);
    ASSERT_NE(object, nullptr);
    Object changed = *object;
    changed.maps.front().value_btf_id = changed.btf->type_count();
    const auto loaded =
        vm::make_target(options_)->load(std::make_shared<const Object>(std::move(changed)), {});
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, EINVAL) << loaded.error().message();
}

// -- Memory --

TEST_F(Hostility, HeadroomIsZeroWhereAnEarlierInstanceWrote) {
    options_.mode = vm::Mode::Permissive; // all types have the longest packet memory, which instances hand on
    const std::string text = R"(
SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u64 *data, was;

    if (bpf_xdp_adjust_head(ctx, -64))
        return 99;
    data = (void *)(long)ctx->data;
    if ((void *)(data + 1) > (void *)(long)ctx->data_end)
        return 98;
    was = *data;
    *data = ~0ull;
    return was != 0;
}
)";
    for (int instance = 0; instance < 3; ++instance) {
        EXPECT_EQ(run(text).ret, 0u);
    }
}

// -- Callbacks --

TEST_F(Hostility, CallbacksBeginWhereFunctionsDo) {
    options_.mode = vm::Mode::Permissive;
    auto loaded = load(R"(
struct timed { struct bpf_timer timer; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct timed);
} timers SEC(".maps");
__u64 word;
static int tick(void *map, __u32 *key, struct timed *value)
{
    word = word * 3 + 7;
    word ^= word >> 3;
    return 0;
}
SEC("xdp") int prog(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    __u32 key = 0;
    struct timed *value = bpf_map_lookup_elem(&timers, &key);
    __u64 callback = (__u64)tick;

    if (!value || data + 14 > end)
        return 0;
    callback += *(__u8 *)data; /* which slot of the function */
    bpf_timer_init(&value->timer, &timers, 1);
    bpf_timer_set_callback(&value->timer, (void *)callback);
    bpf_timer_start(&value->timer, 0, 0);
    return 2;
}
)");
    ASSERT_TRUE(loaded) << loaded.error().message();
    for (uint8_t slot = 0; slot < 12; ++slot) {
        ByteVec packet = packet_of(64);
        packet[0] = slot;
        RunOptions traced;
        traced.trace = true; // where every instruction has an operation of its own
        const auto result = (*loaded)->programs().front()->run(packet, traced);
        ASSERT_TRUE(result) << result.error().message();
        EXPECT_EQ(result->fault.has_value(), slot != 0);
        const auto advanced = (*loaded)->advance(1);
        EXPECT_TRUE(advanced && advanced->callbacks == (slot == 0 ? 1 : 0));
    }
}

// -- What costs time and memory without looking like it --

TEST_F(Hostility, LongListsOfARunCountAsSteps) {
    options_.budget = 100000;
    const RunResult result = run(R"(
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
SEC("xdp") int prog(struct xdp_md *ctx)
{
    bpf_rcu_read_lock();
    for (int i = 0; i < 20000; i++)
        bpf_preempt_disable();
    for (int i = 0; i < 20000; i++) {
        bpf_rcu_read_unlock();
        bpf_rcu_read_lock();
        bpf_preempt_disable();
    }
    return XDP_PASS;
}
)");
    ASSERT_TRUE(result.fault);
    EXPECT_EQ(result.fault->kind, FaultKind::Budget) << result.fault->report;
    const RunResult searching = run(R"(
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym;
extern void bpf_preempt_disable(void) __ksym;
SEC("xdp") int prog(struct xdp_md *ctx)
{
    unsigned long flags;

    for (int i = 0; i < 20000; i++)
        bpf_preempt_disable();
    for (int i = 0; i < 20000; i++) {
        bpf_local_irq_save(&flags);
        bpf_local_irq_restore(&flags);
    }
    return XDP_PASS;
}
)");
    ASSERT_TRUE(searching.fault);
    EXPECT_EQ(searching.fault->kind, FaultKind::Budget) << searching.fault->report;
}

TEST_F(Hostility, LongStringsCountAsSteps) {
    options_.budget = 100000;
    const RunResult result = run(R"(
extern int bpf_strlen(const volatile char *s) __ksym;
struct { volatile char text[60000]; } one SEC(".data.text");
SEC("xdp") int prog(struct xdp_md *ctx)
{
    int i, sum = 0;

    for (i = 0; i < 59998; i++)
        one.text[i] = 'a';
    for (i = 0; i < 100; i++)
        sum += bpf_strlen(one.text);
    return sum;
}
)");
    ASSERT_TRUE(result.fault);
    EXPECT_EQ(result.fault->kind, FaultKind::Budget) << result.fault->report;
}

/// Bytes that the process has taken from the allocator; always 0 under AddressSanitizer.
size_t allocated() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

TEST_F(Hostility, BookkeepingOfARunDoesNotGrowWithItsLength) {
    constexpr size_t kLittle = 4 << 20;
    const char* const bodies[] = {
        "a = bpf_map_lookup_elem(&plain, &key); other = 1; b = bpf_map_lookup_elem(&plain, &other);"
        "if (a && b) { *a = i; *b = i; }",
        "bpf_map_update_elem(&hash, &key, &i, 0); bpf_map_delete_elem(&hash, &key);"};
    for (const char* body : bodies) {
        auto loaded = load(std::string(R"(
#define MAP(name, kind) \
    struct { __uint(type, kind); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); } name SEC(".maps")
MAP(plain, BPF_MAP_TYPE_ARRAY);
MAP(hash, BPF_MAP_TYPE_HASH);
SEC("xdp") int prog(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    __u32 key = 0, other;
    volatile __u64 *a, *b;

    if (data + 14 > end)
        return 1;
    for (__u64 i = 0; i < *(__u8 *)data * 1200000; i++) { )") +
                           body + " }\n    return 2;\n}\n");
        ASSERT_TRUE(loaded) << loaded.error().message();
        instance_ = std::move(*loaded);
        size_t before = 0;
        for (const uint8_t length :
             std::initializer_list<uint8_t>{1, 5}) { // the journal has its limit reached by the first
            ByteVec packet = packet_of(64);
            packet[0] = length;
            const auto result = instance_->programs().front()->run(packet, {});
            ASSERT_TRUE(result && !result->fault && result->ret == 2) << body;
            if (length != 1) {
                EXPECT_LT(allocated(), before + kLittle) << body;
            }
            before = allocated();
        }
    }
}

TEST_F(Hostility, TimersStartedOverAndOverKeepOnePlace) {
    vm::AsyncTable table;
    const uint32_t id = table.create({}, nullptr);
    table.collect();
    table.advancing = true;
    const size_t before = allocated();
    for (uint64_t i = 0; i < 1000000; ++i) {
        table.arm(id, i, nullptr);
    }
    EXPECT_LT(allocated(), before + (1 << 20));
    EXPECT_EQ(table.next_due(UINT64_MAX), id);
    EXPECT_EQ(table.next_due(UINT64_MAX), std::nullopt);
}

TEST_F(Hostility, SpareElementsCountAgainstTheMemoryLimit) {
    using abi::MapType;
    options_.cpus = 1024;
    options_.memory_limit = 64 << 20;
    for (const MapType type : {MapType::PercpuHash, MapType::Hash}) {
        RawObject raw;
        raw.add_map(map_def("few", type, 4, type == MapType::Hash ? 1u << 20 : 32u << 10, 1));
        raw.add({mov(0, 2), exit_insn()});
        const size_t before = allocated();
        const auto loaded = vm::make_target(options_)->load(raw.share(), {});
        EXPECT_LT(allocated(), before + 2 * options_.memory_limit);
        EXPECT_EQ(loaded.has_value(), type == MapType::PercpuHash);
    }
}

TEST_F(Hostility, ProgramsCountAgainstTheMemoryLimit) {
    options_.memory_limit = 64 << 20;
    RawObject raw;
    raw.call_function(1).add(exit_insn());
    raw.begin_function("large");
    for (int i = 0; i < 100000; ++i) {
        raw.add(mov(0, i));
    }
    raw.add(exit_insn());
    for (int i = 0; i < 40; ++i) {
        Function again = raw.object.functions.front();
        again.name += std::to_string(i);
        raw.object.functions.push_back(again);
    }
    const auto loaded = vm::make_target(options_)->load(raw.share(), {});
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, ENOMEM) << loaded.error().message();
}

TEST_F(Hostility, CodeStaysAsItWasLoaded) {
    auto loaded = load(R"(
static long (*none)(void) = (void *)99999;
const volatile __u32 wanted = 0;
SEC("xdp") int prog(struct xdp_md *ctx)
{
    if (wanted)
        return none();
    return 2;
}
)");
    ASSERT_TRUE(loaded) << loaded.error().message();
    for (Map* map : (*loaded)->maps()) {
        std::ranges::fill(map->live_bytes(), uint8_t{1}); // what the kernel would not let the host do
    }
    for (const bool trace : {false, true}) {
        RunOptions options;
        options.trace = trace;
        const auto result = (*loaded)->programs().front()->run(packet_of(64), options);
        ASSERT_TRUE(result) << result.error().message();
        EXPECT_TRUE(result->fault || result->ret == 2);
    }
}

} // namespace

} // namespace mimicsh::test
