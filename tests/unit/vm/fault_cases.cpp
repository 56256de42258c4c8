// SPDX-License-Identifier: MIT
// The tables of programs that fault or warn.
#include "tests/unit/vm/fault_cases.h"

namespace mimicsh::test {

namespace {

constexpr const char* kGlobals = R"(
#define NOINLINE static __attribute__((noinline))
struct value { __u32 a, b, c; };
#define MAP(name, kind, entries) struct { __uint(type, kind); __uint(max_entries, entries); \
	__type(key, __u32); __type(value, struct value); } name SEC(".maps")
MAP(hash, BPF_MAP_TYPE_HASH, 4);
MAP(array, BPF_MAP_TYPE_ARRAY, 4);
MAP(percpu, BPF_MAP_TYPE_PERCPU_ARRAY, 4);
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct locked { struct bpf_spin_lock lock; __u32 n; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); \
	__type(value, struct locked); } locks SEC(".maps");
volatile const __u32 constants[4] = { 1, 2, 3, 4 };
volatile __u64 number = 0x1234;
volatile __u64 kept;
char LICENSE[] SEC("license") = "GPL";
/* Hides from the compiler what a pointer or number is. */
#define HIDE(x) asm volatile("" : "+r"(x))
NOINLINE __u64 keep(__u64 x) { kept = x; return kept; }
NOINLINE void put(void *to) { *(volatile __u32 *)to = 1; }
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern int bpf_iter_num_new(void *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(void *it) __ksym;
extern void bpf_iter_num_destroy(void *it) __ksym;
extern int bpf_iter_bits_new(void *it, const __u64 *words, __u32 count) __ksym;
extern int *bpf_iter_bits_next(void *it) __ksym;
extern void bpf_iter_bits_destroy(void *it) __ksym;
extern void bpf_throw(__u64 cookie) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *ctx, __u64 flags, void *dynptr) __ksym;
extern void *bpf_dynptr_slice(const void *dynptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
struct nf_conn { unsigned long status; };
struct ct_options { __s32 netns_id, error; __u8 l4proto, dir; __u16 zone; __u8 zone_dir, reserved[3]; };
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, \
	struct ct_options *opts, __u32 opts_size) __ksym;
struct object { __u64 a, b; };
struct bpf_refcount { __u32 opaque[1]; };
struct bpf_wq { __u64 opaque[2]; };
struct waiting { __u64 a; struct bpf_wq work; };
struct counted { __u64 a; struct bpf_refcount references; };
#define new_object() bpf_obj_new_impl(__builtin_btf_type_id(*(struct object *)0, 0), 0)
typedef struct object object_type; /* of a plain struct the compiler drops the tag */
struct holder { object_type __attribute__((btf_type_tag("kptr"))) *object; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); \
	__type(value, struct holder); } holders SEC(".maps");
extern void *bpf_percpu_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *object, void *meta) __ksym;
#define new_percpu(type) bpf_percpu_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), 0)
struct percpu_holder { object_type __attribute__((btf_type_tag("percpu_kptr"))) *object; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); \
	__type(value, struct percpu_holder); } percpu_holders SEC(".maps");
struct large { __u64 numbers[65]; };
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
extern void *bpf_cast_to_kern_ctx(void *context) __ksym;
extern void *bpf_rdonly_cast(void *object, __u32 type) __ksym;
extern int bpf_xdp_pull_data(struct xdp_md *ctx, __u32 length) __ksym;
struct cgroup;
struct css_set { struct cgroup *dfl_cgrp; } __attribute__((preserve_access_index));
struct task_struct { struct css_set *cgroups; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); \
	__type(value, __u64); } of_task SEC(".maps");
/* Newer than Debian's headers. */
static void *(*const cgrp_storage_get)(void *map, struct cgroup *cgroup, void *value, __u64 flags) = (void *)210;
struct { __uint(type, 32); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); \
	__type(value, __u64); } of_cgroup SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_USER_RINGBUF); __uint(max_entries, 4096); } samples SEC(".maps");
struct xfrm_options { __s32 error, netns; __u32 mark, daddr[4], spi; __u8 proto; __u16 family; };
extern struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *ctx, struct xfrm_options *options, \
	__u32 size) __ksym;
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); \
	__type(value, struct value); __uint(map_flags, BPF_F_RDONLY_PROG); } fixed SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); \
	__type(value, __u64); } storage SEC(".maps");
char bytes[32] = {1};
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __type(key, __u32); \
	__type(value, __u32); } programs SEC(".maps");
)";

} // namespace

std::string fault_source(const FaultCase& one) {
    const bool plain_memory = one.section == "memory";
    const std::string context = plain_memory           ? "char"
                                : one.section == "xdp" ? "struct xdp_md"
                                                       : "struct __sk_buff";
    const std::string packet =
        plain_memory ? ""
                     : "\tchar *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;\n"
                       "\t(void)data; (void)end;\n";
    return std::string(kPrelude) + kGlobals + one.before + "SEC(\"" + one.section + "\") int filter(" +
           context + " *ctx)\n{\n\t__u32 key = 1;\n\t(void)key;\n" + packet + one.body + "\n}\n";
}

namespace {

std::vector<FaultCase> own_fault_cases() {
    return {
        // -- Bounds, one byte off at both ends of every kind of region --
        {"packet past the end", FaultKind::OutOfBounds, "return *(__u8 *)(data + 64); // here",
         "read of 1 byte at packet+64, 1 byte past its end (length 64)", "if (data + 65 > data_end) return",
         " was set at line "},
        {"packet wider than what is left", FaultKind::OutOfBounds, "return *(__u32 *)(data + 61); // here",
         "read of 4 bytes at packet+61, 1 byte past its end (length 64)", "if (data + 65 > data_end)"},
        {"short packet", FaultKind::OutOfBounds, "return *(__u16 *)(data + 14); // here",
         "read of 2 bytes at packet+14, 2 bytes past its end (length 14)", "if (data + 16 > data_end)", "",
         14},
        {"packet before the start", FaultKind::OutOfBounds, "return *(__u8 *)(data - 1); // here",
         "read of 1 byte at packet-1, 1 byte before its start"},
        {"packet written past the end", FaultKind::OutOfBounds,
         "*(__u64 *)(data + 57) = 1; // here\nreturn 2;",
         "write of 8 bytes at packet+57, 1 byte past its end (length 64)"},
        {"stack past the frame", FaultKind::OutOfBounds,
         "char local[16]; char *p = local; HIDE(p); p += number & 4; asm volatile(\"\" :: \"r\"(local) : "
         "\"memory\");\n"
         "return p[(number & 4) + 512]; // here",
         "past its end (length 512)", "", " is r10, the frame pointer; moved at "},
        {"stack before the frame", FaultKind::OutOfBounds,
         "char local[16]; char *p = local; HIDE(p); asm volatile(\"\" :: \"r\"(local) : \"memory\");\n"
         "p -= 512 + (number & 4); HIDE(p);\nreturn *p; // here",
         "before its start"},
        {"map value past its end", FaultKind::OutOfBounds,
         "struct value *v = bpf_map_lookup_elem(&array, &key);\nif (!v) return 0;\nreturn *((__u8 *)v + 12); "
         "// here",
         "read of 1 byte at value of map array+12, 1 byte past its end (length 12)", "", "call"},
        {"map value before its start", FaultKind::OutOfBounds,
         "struct value *v = bpf_map_lookup_elem(&array, &key);\nif (!v) return 0;\nreturn *((__u8 *)v - 1); "
         "// here",
         "at value of map array-1, 1 byte before its start"},
        {"hash value past its end", FaultKind::OutOfBounds,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "struct value *v = bpf_map_lookup_elem(&hash, &key);\nif (!v) return 0;\n((__u8 *)v)[12] = 1; // "
         "here\nreturn 2;",
         "write of 1 byte at value of map hash+12, 1 byte past its end"},
        {"per-CPU value past its end", FaultKind::OutOfBounds,
         "struct value *v = bpf_map_lookup_elem(&percpu, &key);\nif (!v) return 0;\nkeep(*(volatile __u64 "
         "*)(&v->c)); // here\nreturn 2;",
         "at value of map percpu+12, 4 bytes past its end"},
        {"record past its end", FaultKind::OutOfBounds,
         "char *r = bpf_ringbuf_reserve(&ring, 16, 0);\nif (!r) return 0;\nr[16] = 1; // "
         "here\nbpf_ringbuf_submit(r, 0);\nreturn 2;",
         "write of 1 byte at ring-buffer record+16, 1 byte past its end (length 16)"},
        {"record before its start", FaultKind::OutOfBounds,
         "char *r = bpf_ringbuf_reserve(&ring, 16, 0);\nif (!r) return 0;\nr[-1] = 1; // "
         "here\nbpf_ringbuf_submit(r, 0);\nreturn 2;",
         "write of 1 byte at ring-buffer record-1, 1 byte before its start"},
        // -- Pointers that are none, or no longer --
        {"stale packet pointer", FaultKind::BadPointer,
         "if (data + 20 > end) return 0;\nbpf_xdp_adjust_head(ctx, 4);\nreturn *(__u8 *)data; // here",
         "read of 1 byte through a stale packet pointer: bpf_xdp_adjust_head made it invalid",
         "load ctx->data"},
        {"submitted record", FaultKind::BadPointer,
         "char *r = bpf_ringbuf_reserve(&ring, 16, 0);\nif (!r) return 0;\nbpf_ringbuf_submit(r, 0);\nr[0] = "
         "1; // here\nreturn 2;",
         "write of 1 byte through a stale ring-buffer record pointer: bpf_ringbuf_submit made it invalid"},
        {"look-up result not tested", FaultKind::NullPointer,
         "key = 99; HIDE(key);\nstruct value *v = bpf_map_lookup_elem(&hash, &key);\nreturn v->a; // here",
         "read of 4 bytes through a null pointer", "test the result of the look-up for NULL"},
        {"member of a look-up result not tested", FaultKind::NullPointer,
         "struct value *v = bpf_map_lookup_elem(&hash, &key);\nreturn v->c; // here",
         "read of 4 bytes at null+8", "NULL"},
        // -- Permissions --
        {"constant data", FaultKind::Permission, "*(volatile __u32 *)&constants[1] = 5; // here\nreturn 2;",
         "of map .rodata, which programs may only read"},
        // -- Helper arguments --
        {"key past the stack", FaultKind::OutOfBounds,
         "char *p = (char *)&key; HIDE(p); p += 512; HIDE(p);\nreturn bpf_map_lookup_elem(&hash, p) != 0; // "
         "here",
         "map key: read of 4 bytes at stack"},
        {"key is null", FaultKind::NullPointer,
         "void *p = 0; HIDE(p);\nreturn bpf_map_lookup_elem(&hash, p) != 0; // here",
         "map key: read of 4 bytes through a null pointer"},
        {"buffer longer than the packet data it points to", FaultKind::OutOfBounds,
         "return (int)bpf_xdp_load_bytes(ctx, 0, data + 60, 8); // here",
         "buffer: write of 8 bytes at packet+60, 4 bytes past its end"},
        {"length 0", FaultKind::BadCall,
         "__u32 n = 0; HIDE(n);\nreturn (int)bpf_xdp_load_bytes(ctx, 0, &key, n); // here", "length is 0"},
        {"no context", FaultKind::BadCall,
         "void *p = &key; HIDE(p);\nreturn (int)bpf_xdp_adjust_head(p, 4); // here",
         "bpf_xdp_adjust_head: the first argument is not the context"},
        {"no map", FaultKind::BadCall,
         "void *p = ctx; HIDE(p);\nreturn bpf_map_lookup_elem(p, &key) != 0; // here",
         "bpf_map_lookup_elem: the first argument is no map"},
        {"no record", FaultKind::BadCall,
         "void *p = &key; HIDE(p);\nbpf_ringbuf_submit(p, 0); // here\nreturn 2;",
         "bpf_ringbuf_submit: the argument is no reserved record"},
        {"record submitted twice", FaultKind::BadCall,
         "char *r = bpf_ringbuf_reserve(&ring, 8, 0);\nif (!r) return 0;\nbpf_ringbuf_submit(r, "
         "0);\nbpf_ringbuf_discard(r, 0); // here\nreturn 2;",
         "the argument is no reserved record"},
        {"ring where a prog array belongs", FaultKind::BadCall,
         "bpf_tail_call(ctx, &hash, 0); // here\nreturn 2;", "hash is no prog_array"},
        // -- Running on and on --
        {"budget", FaultKind::Budget, "for (;;) {\nif (!number) break; } // here\nreturn 2;",
         "which is its budget", "raise budget="},
        {"record left open", FaultKind::Strict,
         "char *r = bpf_ringbuf_reserve(&ring, 16, 0);\nif (!r) return 0;\nr[0] = 1;\nreturn 2;",
         "neither submitted nor discarded"},
        {"lock held at the end", FaultKind::Strict,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "bpf_spin_lock(&v->lock);\nreturn 2;",
         "ends while it holds the lock in a value of map locks", "bpf_spin_unlock on every path"},
        {"lock taken twice", FaultKind::Strict,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "if (number)\nbpf_spin_lock(&v->lock);\nbpf_spin_lock(&v->lock); // here\n"
         "bpf_spin_unlock(&v->lock);\nreturn 2;",
         "bpf_spin_lock is called while the program holds the lock in a value of map locks", "given back"},
        {"helper under a lock", FaultKind::Strict,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "if (number)\nbpf_spin_lock(&v->lock);\nkeep(bpf_ktime_get_ns()); // here\nif (number)\n"
         "bpf_spin_unlock(&v->lock);\nreturn 2;",
         "bpf_ktime_get_ns is called while the program holds the lock in a value of map locks, taken at",
         "before the lock is taken"},
        {"kernel function under a lock", FaultKind::Strict,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "if (number)\nbpf_spin_lock(&v->lock);\nbpf_preempt_disable(); // here\nreturn 2;",
         "bpf_preempt_disable is called while the program holds the lock in a value of map locks"},
        {"tail call with a record", FaultKind::Strict,
         "char *r = bpf_ringbuf_reserve(&ring, 16, 0);\nif (!r) return 0;\n"
         "bpf_tail_call(ctx, &programs, 0); // here\nbpf_ringbuf_discard(r, 0);\nreturn 2;",
         "bpf_tail_call may end the program, which has a ring-buffer record to give back", "before it"},
        {"tail call in a section", FaultKind::Strict,
         "bpf_preempt_disable();\nbpf_tail_call(ctx, &programs, 0); // here\n"
         "bpf_preempt_enable();\nreturn 2;",
         "bpf_tail_call may end the program, which is inside a section without preemption", "before it"},
        // -- Alignment --
        {"misaligned load from the stack", FaultKind::Strict,
         "__u64 local[2] = {number, number}; char *p = (char *)local; HIDE(p);\np += number & 4;\nHIDE(p);\n"
         "asm volatile(\"\" :: \"r\"(local) : \"memory\");\nreturn *(volatile __u64 *)p; // here",
         "misaligned stack access: read of 8 bytes at stack-", "multiple of its size"},
        {"misaligned store to a caller's stack", FaultKind::Strict,
         "__u64 local[2] = {number, number};\nput((char *)local + 2);\n"
         "return local[0] & 1;",
         "misaligned stack access: write of 4 bytes at stack-", "multiple of its size"},
        {"unlock without lock", FaultKind::BadCall,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "bpf_spin_unlock(&v->lock); // here\nreturn 2;",
         "bpf_spin_unlock: the program does not hold this lock"},
        {"lock that is none", FaultKind::BadCall,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "void *p = &v->n; HIDE(p);\nbpf_spin_lock(p); // here\nreturn 2;",
         "bpf_spin_lock: the argument is no bpf_spin_lock of a map value or object"},
        // -- Fields that belong to the kernel --
        {"load of a lock", FaultKind::Permission,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "return *(volatile __u32 *)&v->lock; // here",
         "read of 4 bytes at map value+0, where its bpf_spin_lock is, which belongs to the kernel",
         "by the helpers and kernel functions for it only"},
        {"store over a lock", FaultKind::Permission,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "*(volatile __u64 *)v = 0; // here\nreturn 2;",
         "write of 8 bytes at map value+0, where its bpf_spin_lock is"},
        {"value with a lock as an argument", FaultKind::Permission,
         "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
         "return bpf_csum_diff(0, 0, (__be32 *)v, sizeof *v, 0) & 1; // here",
         "where its bpf_spin_lock is"},
        {"half of a pointer to an object", FaultKind::Permission,
         "void *p = new_object();\nif (p) bpf_obj_drop_impl(p, 0);\n"
         "struct holder *h = bpf_map_lookup_elem(&holders, &key);\nif (!h) return 0;\n"
         "return *(volatile __u32 *)&h->object; // here",
         "read of 4 bytes at map value+0, where its kptr is", "a pointer is loaded whole, by 8 bytes"},
        {"reference count of an object", FaultKind::Permission,
         "struct counted *c = bpf_obj_new_impl(__builtin_btf_type_id(*(struct counted *)0, 0), 0);\n"
         "if (!c) return 0;\nnumber = *(volatile __u32 *)&c->references; // here\n"
         "bpf_obj_drop_impl(c, 0);\nreturn 2;",
         "read of 4 bytes at object+8, where its bpf_refcount is"},
        {"fault after changes of maps", FaultKind::OutOfBounds,
         "struct value x = {7, 8, 9};\nbpf_map_update_elem(&hash, &key, &x, 0);\nkey = 2;\n"
         "bpf_map_update_elem(&hash, &key, &x, 0);\nbpf_map_delete_elem(&hash, &key);\n"
         "struct value *v = bpf_map_lookup_elem(&array, &key);\nif (!v) return 0;\nv->a += 5;\n"
         "__sync_fetch_and_add(&v->b, 3);\nkeep(kept + 1);\nnumber++;\n"
         "bpf_ringbuf_output(&ring, &x, sizeof(x), 0);\nreturn *(__u8 *)(data + 64); // here",
         "read of 1 byte at packet+64, 1 byte past its end"},
    };
}

} // namespace

const std::vector<FaultCase>& fault_cases() {
    static const std::vector<FaultCase> kCases = [] {
        std::vector<FaultCase> all = own_fault_cases();
        const std::vector<FaultCase> more = region_fault_cases();
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }();
    return kCases;
}

const std::vector<FaultCase>& warning_cases() {
    static const std::vector<FaultCase> kCases{
        {"uninitialised stack", FaultKind::Strict,
         "__u64 local; char *p = (char *)&local; HIDE(p);\nkeep(*(volatile __u64 *)p); // here\nreturn 2;",
         "8 of them never written"},
        {"half initialised stack", FaultKind::Strict,
         "__u64 local; char *p = (char *)&local; HIDE(p);\n*(volatile __u32 *)p = 1;\nkeep(*(volatile __u64 "
         "*)p); // here\nreturn 2;",
         "4 of them never written"},
        {"uninitialised key", FaultKind::Strict,
         "__u32 other; __u32 *p = &other; HIDE(p);\nreturn bpf_map_lookup_elem(&hash, p) ? 1 : 2; // here",
         "4 of them never written"},
        {"deleted map value", FaultKind::Strict,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "struct value *v = bpf_map_lookup_elem(&hash, &key);\nif (!v) return 0;\nbpf_map_delete_elem(&hash, "
         "&key);\n"
         "keep(v->b); // here\nreturn 2;",
         "map value of hash used after its key was deleted"},
        {"deleted map value written", FaultKind::Strict,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "struct value *v = bpf_map_lookup_elem(&hash, &key);\nif (!v) return 0;\nv->a = "
         "5;\nbpf_map_delete_elem(&hash, &key);\n"
         "v->a = 6; // here\nreturn 2;",
         "map value of hash used after its key was deleted"},
        {"unchecked access", FaultKind::Strict, "keep(*(__u8 *)(data + 20)); // here\nreturn 2;",
         "unchecked access, the kernel will refuse"},
        {"access past what was checked, so unchecked", FaultKind::Strict,
         "if (data + 14 > end) return 0;\nkeep(*(__u32 *)(data + 12)); // here\nreturn 2;",
         "read of 4 bytes at packet+12 without a comparison with data_end that covers it"},
        {"unchecked access, ten times", FaultKind::Strict,
         "for (int i = 0; i < 10; i++) { HIDE(i); char *p = data + (i & 15);\nkeep(*(__u8 *)p); } // here\n"
         "return 2;",
         "unchecked access, the kernel will refuse"},
        // -- Results that may be NULL --
        {"unchecked look-up", FaultKind::Strict,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "struct value *v = bpf_map_lookup_elem(&hash, &key);\n"
         "keep(v->b); // here\nkeep(v->c);\nreturn 2;",
         "which bpf_map_lookup_elem returned at line "},
        {"unchecked look-up written to", FaultKind::Strict,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "struct value *v = bpf_map_lookup_elem(&hash, &key);\n"
         "HIDE(v);\n__sync_fetch_and_add(&v->b, 1); // here\nreturn 2;",
         "is used without a comparison with NULL, the kernel will refuse"},
        {"unchecked look-up after another that was checked", FaultKind::Strict,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "struct value *v = bpf_map_lookup_elem(&hash, &key);\n"
         "struct value *w = bpf_map_lookup_elem(&hash, &key);\nif (!w) return 0;\n"
         "keep(v->b + w->a); // here\nreturn 2;",
         "is used without a comparison with NULL, the kernel will refuse"},
        {"unchecked record", FaultKind::Strict,
         "__u32 *r = bpf_ringbuf_reserve(&ring, 16, 0);\n"
         "*r = 5; // here\nbpf_ringbuf_submit(r, 0);\nreturn 2;",
         "which bpf_ringbuf_reserve returned at line "},
        {"unchecked record given back", FaultKind::Strict,
         "__u32 *r = bpf_ringbuf_reserve(&ring, 16, 0);\n"
         "bpf_ringbuf_discard(r, 0); // here\nreturn 2;",
         "which bpf_ringbuf_reserve returned at line "},
        {"unchecked object", FaultKind::Strict,
         "struct object *o = new_object();\n"
         "o->a = 5; // here\nbpf_obj_drop_impl(o, 0);\nreturn 2;",
         "which bpf_obj_new_impl returned at line "},
        {"unchecked look-up as an argument", FaultKind::Strict,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "void *v = bpf_map_lookup_elem(&hash, &key);\n"
         "bpf_ringbuf_output(&ring, v, 4, 0); // here\nreturn 2;",
         "which bpf_map_lookup_elem returned at line "},
        {"unchecked number of an iterator", FaultKind::Strict,
         "struct { __u64 opaque; } __attribute__((aligned(8))) it;\nbpf_iter_num_new(&it, 1, 3);\n"
         "int *i = bpf_iter_num_next(&it);\nkeep(*i); // here\nbpf_iter_num_destroy(&it);\nreturn 2;",
         "which bpf_iter_num_next returned at line "},
        {"unchecked slice", FaultKind::Strict,
         "struct bpf_dynptr d;\nbpf_dynptr_from_xdp(ctx, 0, &d);\n"
         "__u8 *p = bpf_dynptr_slice(&d, 0, 0, 8);\nkeep(*p); // here\nreturn 2;",
         "which bpf_dynptr_slice returned at line "},
        {"arithmetic on an unchecked look-up", FaultKind::Strict,
         "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
         "char *v = bpf_map_lookup_elem(&hash, &key);\n"
         "v += 4; // here\nHIDE(v);\nif (!v) return 0;\nkeep(*(__u32 *)v);\nreturn 2;",
         "is used without a comparison with NULL, the kernel will refuse"},
    };
    return kCases;
}

const std::vector<FaultCase>& clean_cases() {
    static const std::vector<FaultCase> kCases = [] {
        std::vector<FaultCase> all{
            {"checked access", FaultKind::Strict,
             "if (data + 34 > end) return 0;\nkeep(*(__u32 *)(data + 30));\nreturn 2;", ""},
            {"initialised stack", FaultKind::Strict,
             "__u64 local = number; char *p = (char *)&local; HIDE(p);\nkeep(*(volatile __u64 *)p);\nreturn "
             "2;",
             ""},
            {"look-up checked by a copy", FaultKind::Strict,
             "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
             "struct value *v = bpf_map_lookup_elem(&hash, &key);\nstruct value *w = v; HIDE(w);\n"
             "if (w) keep(v->b + w->a);\nreturn 2;",
             ""},
            {"constant key of an array", FaultKind::Strict,
             "key = 0;\nstruct value *v = bpf_map_lookup_elem(&array, &key);\nkeep(v->b);\nreturn 2;", ""},
            {"checked in a loop", FaultKind::Strict,
             "for (int i = 0; i < 4; i++) { HIDE(i); key = i;\n"
             "struct value *v = bpf_map_lookup_elem(&hash, &key);\nif (v) keep(v->b); }\nreturn 2;",
             ""},
            {"probe read of the packet and of a lock", FaultKind::Strict,
             "__u64 x = 0;\nbpf_probe_read_kernel(&x, 8, data);\nkeep(x);\n"
             "struct locked *v = bpf_map_lookup_elem(&locks, &key);\nif (!v) return 0;\n"
             "bpf_probe_read_kernel(&x, 8, v);\nkeep(x);\nreturn 2;",
             ""},
            {"addresses in the packet that are printed", FaultKind::Strict,
             "if (data + 64 > end) return 0;\n"
             "static const char format[] = \"%pI4\";\nbpf_trace_printk(format, sizeof format, data + 30);\n"
             "return 2;",
             ""},
            {"difference of look-ups", FaultKind::Strict,
             "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
             "char *v = bpf_map_lookup_elem(&hash, &key);\nchar *w = bpf_map_lookup_elem(&hash, &key);\n"
             "keep(w - v);\nreturn 2;",
             ""},
            {"work queue in an object", FaultKind::Strict,
             "struct waiting *o = bpf_obj_new_impl(__builtin_btf_type_id(*(struct waiting *)0, 0), 0);\n"
             "if (!o) return 0;\n*(volatile __u64 *)&o->work = 5;\nkeep(*(volatile __u64 *)&o->work);\n"
             "bpf_obj_drop_impl(o, 0);\nreturn 2;",
             ""},
            {"checked against another pointer", FaultKind::Strict,
             "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
             "struct value *v = bpf_map_lookup_elem(&hash, &key);\nif (!v) return 0;\n"
             "struct value *w = bpf_map_lookup_elem(&hash, &key);\nif (w == v) keep(w->b);\nreturn 2;",
             ""},
        };
        const std::vector<FaultCase> more = region_clean_cases();
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }();
    return kCases;
}

} // namespace mimicsh::test
