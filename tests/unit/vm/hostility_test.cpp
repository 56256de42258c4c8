// SPDX-License-Identifier: MIT
// Programs that want to run for ever, to use up all memory or the emulator's own stack.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include <linux/bpf.h>
#include <malloc.h>

#include "tests/unit/vm/raw.h"
#include "vm/address.h"
#include "vm/async.h"
#include "vm/machine.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

class Hostility : public ::testing::Test {
  protected:
    Expected<std::unique_ptr<Instance>> load(const std::string& text) {
        auto object = compile_text(std::string(kPrelude) + text);
        if (object == nullptr) {
            return Error{EINVAL, "compile", "", {}, {}};
        }
        return vm::make_target(options_)->load(object, {});
    }
    RunResult run(const std::string& text) {
        auto loaded = load(text);
        if (!loaded) {
            ADD_FAILURE() << loaded.error().message();
            return {};
        }
        instance_ = std::move(*loaded);
        return run_again();
    }
    RunResult run_again() {
        auto result = instance_->programs().front()->run(packet_of(64), {});
        if (!result) {
            ADD_FAILURE() << result.error().message();
            return {};
        }
        return std::move(*result);
    }

    vm::Options options_;
    std::unique_ptr<Instance> instance_;
};

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
          Case{MapType::Hash, 4096, 65536, 1u << 31, 0, ENOMEM},
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

// -- Programs that want out of the emulator's memory --

struct Escape {
    const char* name;
    const char* text;
    std::optional<FaultKind> fault; ///< nothing: the program returns 2
    size_t packet = 64;
};

constexpr const char* kEscapePrelude = R"(
struct bpf_list_head { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 __opaque[3]; } __attribute__((aligned(8)));
struct item { __u64 number; struct bpf_list_node node; };
struct owner {
    struct bpf_spin_lock lock;
    struct bpf_list_head head __attribute__((btf_decl_tag("contains:item:node")));
};
struct bpf_rb_root { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 __opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 __opaque[1]; } __attribute__((aligned(4)));
struct leaf { struct bpf_rb_node node; struct bpf_refcount count; __u64 key; };
struct grove {
    struct bpf_spin_lock lock;
    struct bpf_rb_root root __attribute__((btf_decl_tag("contains:leaf:node")));
};
struct timed { struct bpf_timer timer; };
struct ends { __u32 first; };
#define MAP(name, kind, value_type) \
    struct { __uint(type, kind); __uint(max_entries, 1); __type(key, __u32); __type(value, value_type); } name SEC(".maps")
MAP(owners, BPF_MAP_TYPE_ARRAY, struct owner);
MAP(timers, BPF_MAP_TYPE_ARRAY, struct timed);
MAP(small, BPF_MAP_TYPE_ARRAY, struct ends);
MAP(groves, BPF_MAP_TYPE_HASH, struct grove);
extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern int bpf_list_push_back_impl(void *head, void *node, void *meta, __u64 off) __ksym;
extern int bpf_iter_bits_new(void *it, const __u64 *words, __u32 count) __ksym;
extern int *bpf_iter_bits_next(void *it) __ksym;
extern int bpf_dynptr_from_xdp(void *ctx, __u64 flags, void *ptr) __ksym;
extern int bpf_xdp_pull_data(void *ctx, __u32 len) __ksym;
extern void *bpf_xdp_ct_lookup(void *ctx, void *tuple, __u32 tuple_size, void *opts, __u32 size) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
                               _Bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
                               __u64 off) __ksym;
extern void *bpf_rbtree_remove(struct bpf_rb_root *root, const struct bpf_rb_node *node) __ksym;
#define new_leaf() ((struct leaf *)bpf_obj_new_impl(__builtin_btf_type_id(*(struct leaf *)0, 0), NULL))
static struct grove *the_grove(void)
{
    __u32 key = 0;

    return bpf_map_lookup_elem(&groves, &key);
}
static _Bool in_order(struct bpf_rb_node *a, const struct bpf_rb_node *b) { return 0; }
/* Three nodes in the tree, and a fourth that is compared with the function that changes it. */
static int compare_with(_Bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b))
{
    struct grove empty = {}, *grove;
    struct leaf *leaf;
    __u32 key = 0;

    bpf_map_update_elem(&groves, &key, &empty, 0);
    for (int i = 0; i < 4; i++) {
        leaf = new_leaf();
        grove = the_grove();
        if (!leaf || !grove)
            return 3;
        bpf_spin_lock(&grove->lock);
        if (i < 3)
            bpf_rbtree_add_impl(&grove->root, &leaf->node, in_order, NULL, 0);
        else
            bpf_rbtree_add_impl(&grove->root, &leaf->node, less, NULL, 0);
        bpf_spin_unlock(&grove->lock);
    }
    return 2;
}
#define new_item() ((struct item *)bpf_obj_new_impl(__builtin_btf_type_id(*(struct item *)0, 0), NULL))
#define HIDE(p) asm volatile("" : "+r"(p))
)";

const Escape kEscapes[] = {
    {"a list node that the program writes", R"(SEC("tc") int prog(struct __sk_buff *ctx)
{
    struct item *item = new_item();

    if (item)
        *(volatile __u64 *)&item->node = 0x123400000001;
    return 2;
})",
     FaultKind::Permission},
    {"a list head that a helper writes", R"(SEC("tc") int prog(struct __sk_buff *ctx)
{
    __u32 key = 0;
    char *owner = bpf_map_lookup_elem(&owners, &key);

    if (owner)
        bpf_skb_load_bytes(ctx, 0, owner + 8, 16);
    return 2;
})",
     FaultKind::Permission},
    {"a timer that the program writes", R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u32 key = 0;
    __u64 *timer = bpf_map_lookup_elem(&timers, &key);

    if (timer) {
        *timer = 77;
        bpf_timer_start((void *)timer, 0, 0);
    }
    return 2;
})",
     FaultKind::Permission},
    {"a timer changed by an atomic operation", R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u32 key = 0;
    __u64 *timer = bpf_map_lookup_elem(&timers, &key);

    if (timer)
        __sync_fetch_and_add(timer, 77);
    return 2;
})",
     FaultKind::Permission},
    {"an object submitted as a record", R"(SEC("tc") int prog(struct __sk_buff *ctx)
{
    struct item *item = new_item();

    if (item)
        bpf_ringbuf_submit(item, 0);
    return 2;
})",
     FaultKind::BadCall},
    {"an iterator of bits that the program writes", R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u64 words[1] = {0}, iterator[2];
    __s32 *parts = (__s32 *)iterator;

    bpf_iter_bits_new(iterator, words, 1);
    parts[2] = 0x7fffffc0;
    parts[3] = 0x7ffffe00;
    HIDE(parts);
    bpf_iter_bits_next(parts);
    return 2;
})",
     FaultKind::BadCall},
    {"a view of a packet that became shorter",
     R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    struct bpf_dynptr view;
    __u64 bytes[8] = {0};

    bpf_dynptr_from_xdp(ctx, 0, &view);
    if (bpf_xdp_adjust_tail(ctx, -3000))
        return 1;
    if (bpf_dynptr_read(bytes, 64, &view, 6900, 0) != -22 || bpf_dynptr_write(&view, 6900, bytes, 64, 0) != -22)
        return 3;
    return bpf_dynptr_slice(&view, 6900, bytes, 64) ? 4 : 2;
})",
     {},
     7000},
    {"options too short for an error",
     R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u64 tuple[2] = {0}, options[2] = {~0, ~0};

    bpf_xdp_ct_lookup(ctx, tuple, 12, options, 3);
    return options[0] == ~0 ? 2 : 1;
})",
     {}},
    {"headers of a socket buffer in an XDP program",
     R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    bpf_skb_vlan_push((void *)ctx, 0, 1);
    bpf_skb_vlan_push((void *)ctx, 0x0008, 1);
    bpf_skb_ecn_set_ce((void *)ctx);
    bpf_skb_adjust_room((void *)ctx, 20, 0, 0);
    return 2;
})",
     {}},
    {"headers behind a tunnel's",
     R"(SEC("lwt_xmit") int prog(struct __sk_buff *ctx)
{
    __u8 header[20] = {0x45};

    bpf_lwt_push_encap(ctx, 2, header, 20);
    bpf_skb_adjust_room(ctx, 20, 1, 0);
    bpf_skb_change_proto(ctx, __builtin_bswap16(0x86dd), 0);
    return 2;
})",
     {}},
    {"an iterator of no bits that the program writes", R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    __u64 words[1] = {0}, iterator[2];
    __s32 *parts = (__s32 *)iterator;

    bpf_iter_bits_new(iterator, words, 1);
    parts[0] = 0x7ffffff0;
    parts[2] = 0;
    parts[3] = -100000;
    HIDE(parts);
    bpf_iter_bits_next(parts);
    return 2;
})",
     FaultKind::BadCall},
    {"a view of memory that is the packet's",
     R"(SEC("tc") int prog(struct __sk_buff *ctx)
{
    struct bpf_dynptr view;
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

    if (data + 20 > end)
        return 1;
    bpf_dynptr_from_mem(data, 20, 0, &view);
    return 2;
})",
     FaultKind::BadCall},
    {"a comparison that takes nodes out of its tree",
     R"(static _Bool removes(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    struct grove *grove = the_grove();

    if (grove)
        bpf_rbtree_remove(&grove->root, b);
    return 0;
}
SEC("tc") int prog(struct __sk_buff *ctx) { return compare_with(removes); })",
     FaultKind::BadCall},
    {"a comparison that deletes the value that its tree is in",
     R"(static _Bool deletes(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    __u32 key = 0;

    bpf_map_delete_elem(&groves, &key);
    return 0;
}
SEC("tc") int prog(struct __sk_buff *ctx) { return compare_with(deletes); })",
     FaultKind::BadCall},
    {"a comparison that adds the node itself",
     R"(static _Bool adds(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    struct grove *grove = the_grove();
    struct leaf *same = bpf_refcount_acquire_impl(a, NULL);

    if (grove && same)
        bpf_rbtree_add_impl(&grove->root, &same->node, in_order, NULL, 0);
    return 0;
}
SEC("tc") int prog(struct __sk_buff *ctx) { return compare_with(adds); })",
     FaultKind::BadCall},
    {"bytes of the packet copied over themselves",
     R"(SEC("xdp") int prog(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

    if (data + 60 > end)
        return 1;
    if (bpf_xdp_store_bytes(ctx, 4, data, 20) || bpf_xdp_load_bytes(ctx, 30, data + 34, 20))
        return 3;
    bpf_skb_load_bytes((void *)ctx, 0, data + 4, 20);
    return 2;
})",
     {}},
    {"fragments of a packet that a helper of another type moved",
     R"(SEC("xdp.frags") int prog(struct xdp_md *ctx)
{
    bpf_skb_change_head((void *)ctx, 300, 0);
    bpf_xdp_pull_data(ctx, 60000);
    return 2;
})",
     {},
     70000},
};

TEST_F(Hostility, NothingReachesMemoryOutside) {
    options_.mode = vm::Mode::Permissive;
    for (const Escape& one : kEscapes) {
        SCOPED_TRACE(one.name);
        auto loaded = load(std::string(kEscapePrelude) + one.text);
        if (!loaded) {
            ADD_FAILURE() << loaded.error().message();
            continue;
        }
        auto result = (*loaded)->programs().front()->run(packet_of(one.packet), {});
        if (!result) {
            ADD_FAILURE() << result.error().message();
        } else if (one.fault) {
            EXPECT_TRUE(result->fault && result->fault->kind == *one.fault)
                << (result->fault ? result->fault->report : std::to_string(result->ret));
        } else {
            EXPECT_FALSE(result->fault) << result->fault->report;
            EXPECT_EQ(result->ret, 2u);
        }
    }
}

TEST_F(Hostility, HeadersMayComeFromAPacketThatNeedsMoreRoom) {
    auto loaded = load(R"(
SEC("lwt_xmit") int prog(struct __sk_buff *ctx)
{
    bpf_skb_change_head(ctx, 0x20000, 0);
    for (int i = 0; i < 4; i++) {
        __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

        if (data + 60 > end)
            return 1;
        data[0] = 0x4f;
        data[1] = i;
        bpf_lwt_push_encap(ctx, 2, data, 60);
        data = (void *)(long)ctx->data;
        end = (void *)(long)ctx->data_end;
        if (data + 60 > end || data[0] != 0x4f || data[1] != i || ctx->len != 0x20000 + 50 + 60 * (i + 1))
            return 3;
    }
    return 2;
}
)");
    ASSERT_TRUE(loaded) << loaded.error().message();
    ByteVec context(sizeof(struct __sk_buff));
    store<uint32_t>(context.data() + offsetof(struct __sk_buff, gso_size), 1); // such packets may be longer
    RunOptions run;
    run.context = context;
    const auto result = (*loaded)->programs().front()->run(packet_of(64), run);
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_FALSE(result->fault) << result->fault->report;
    EXPECT_EQ(result->ret, 2u);
}

TEST_F(Hostility, MemoryOfAProgramGoesWithTheBufferThatItIsIn) {
    constexpr int64_t kChangeHead = 43;
    options_.mode = vm::Mode::Permissive;
    RawObject raw;
    raw.add({mov(0, 0), exit_insn()});
    raw.object.functions[0].spec = ProgramSpec{abi::ProgType::SchedCls, abi::AttachType::None, 0, {}};
    raw.begin_function("memory");
    raw.object.functions[1].spec = ProgramSpec{abi::ProgType::Memory, abi::AttachType::None, 0, {}};
    raw.add(mov_reg(6, 1)).load_number(1, vm::make_addr(vm::kContextHandle, 0));
    raw.add({mov(2, 0x20000), mov(3, 0), call(kChangeHead), test::load(op::kB, 0, 6, 0), exit_insn()});
    auto loaded = vm::make_target(options_)->load(raw.share(), {});
    ASSERT_TRUE(loaded) << loaded.error().message();
    ByteVec context(sizeof(struct __sk_buff));
    store<uint32_t>(context.data() + offsetof(struct __sk_buff, gso_size), 1);
    RunOptions run;
    run.context = context;
    ASSERT_TRUE((*loaded)->programs()[0]->run(packet_of(64), run)); // leaves its context
    const auto result = (*loaded)->programs()[1]->run(packet_of(64), {});
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_TRUE(result->fault && result->fault->kind == FaultKind::BadPointer) << result->ret;
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
