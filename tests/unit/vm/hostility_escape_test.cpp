// SPDX-License-Identifier: MIT
// Programs that want out of the emulator's memory.
#include <linux/bpf.h>

#include "tests/unit/vm/hostility.h"
#include "vm/machine.h"

namespace mimicsh::test {

namespace {

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

} // namespace

} // namespace mimicsh::test
