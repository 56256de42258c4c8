// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Arenas: lists and trees in their pages, and pages that come and go in work queues.
#include "io.h"

#define BPF_MAP_TYPE_ARENA 33
#define PAGE 4096

struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback)(void *map, int *key, void *value),
				    unsigned int flags, void *aux) __ksym;
extern void *bpf_arena_alloc_pages(void *map, void *addr, __u32 pages, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void *ptr, __u32 pages) __ksym;
extern int bpf_arena_reserve_pages(void *map, void *ptr, __u32 pages) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 32);
} arena SEC(".maps");

struct worked {
	__u64 count;
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct worked);
} works SEC(".maps");

/* r0 = addr_space_cast(r0, 0, 1): the kernel's pointer for one of user space. */
#define to_kernel(ptr) ({ \
	void *cast_; \
	asm volatile("r0 = %1; .8byte 0x00000001000100bf; %0 = r0" : "=r"(cast_) : "r"(ptr) : "r0"); \
	cast_; })
/* r0 = addr_space_cast(r0, 1, 0): and back. */
#define to_user(ptr) ({ \
	void *cast_; \
	asm volatile("r0 = %1; .8byte 0x00010000000100bf; %0 = r0" : "=r"(cast_) : "r"(ptr) : "r0"); \
	cast_; })
/* A program uses the arena that it names. */
#define uses_arena() asm volatile("" : : "r"(&arena))

struct node {
	struct node *next;
	__u64 value;
};

struct head {
	struct node *first;
	__u64 used;
};

/* The first page is a head and nodes behind it. */
static __noinline int push(__u64 where, __u64 value)
{
	struct head *head = to_kernel(where);
	struct node *node;

	if (head->used >= 200)
		return 0;
	node = to_kernel(where + sizeof(*head) + head->used * sizeof(*node));
	head->used++;
	node->next = head->first;
	node->value = value;
	head->first = to_user(node);
	return 1;
}

struct walk {
	struct node *at;
	__u64 sum;
	__u64 count;
};

static long one(__u32 index, void *context)
{
	struct walk *walk = context;
	struct node *node;

	if (!walk->at)
		return 1;
	node = to_kernel(walk->at);
	walk->sum = walk->sum * 31 + node->value;
	walk->count++;
	walk->at = node->next;
	return 0;
}

/* arg: address of the first page, value, how many. */
static __always_inline int lists(void)
{
	__u64 where = io.arg[0];
	struct walk walk = {};
	struct head *head;
	int i;

	uses_arena();
	for (i = 0; i < 8; i++) {
		if (i < io.arg[2])
			io.out[0] += push(where, io.arg[1] + i);
	}
	head = to_kernel(where);
	walk.at = head->first;
	bpf_loop(300, one, &walk, 0);
	io.out[1] = walk.sum;
	io.out[2] = walk.count;
	io.out[3] = (__u64)walk.at;
	io.out[4] = head->used;
	io.out[5] = (__u64)head->first;
	return 1;
}

SEC("xdp") int list_xdp(struct xdp_md *ctx)
{
	return lists();
}

SEC("tc") int list_tc(struct __sk_buff *skb)
{
	return lists();
}

/* A pointer to a page, spilled over a call, and given to a subprogram. */
static __noinline __u64 total(__u32 *words, __u64 count)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < 64; i++) {
		if (i < count)
			sum += words[i];
	}
	return sum;
}

SEC("xdp") int spilled(struct xdp_md *ctx)
{
	__u32 *words = to_kernel(io.arg[0]);
	volatile __u32 *kept = words;

	uses_arena();
	io.out[0] = total(words, io.arg[1]);
	io.out[1] = bpf_get_smp_processor_id() > 4096;
	kept[1]++;
	io.out[2] = total((__u32 *)kept + 1, io.arg[1]);
	__sync_fetch_and_add(&words[2], 5);
	io.out[3] = words[2];
	return 2;
}

/* What a work queue does with pages, one after the other. */
enum { ALLOC = 1, FREE, RESERVE, STORE, LOAD };

struct step {
	__u64 what;
	__u64 address;
	__u64 count;
	__u64 result;
};

#define STEPS 24

struct {
	struct step step[STEPS];
	__u64 done;
} script SEC(".bss.script");

static int run(void *map, int *key, void *value)
{
	int i;

	for (i = 0; i < STEPS; i++) {
		struct step *step = &script.step[i];
		void *where = (void *)step->address;
		__u64 *word;

		if (step->what == ALLOC)
			step->result = (__u64)bpf_arena_alloc_pages(&arena, where, step->count, -1, 0);
		if (step->what == FREE)
			bpf_arena_free_pages(&arena, where, step->count);
		if (step->what == RESERVE)
			step->result = (__u32)bpf_arena_reserve_pages(&arena, where, step->count);
		word = to_kernel(where);
		if (step->what == STORE)
			*word = step->count;
		if (step->what == LOAD)
			step->result = *word;
	}
	__sync_fetch_and_add(&script.done, 1);
	return 0;
}

/* arg: whether to start. */
SEC("tc") int pages(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct worked *found = bpf_map_lookup_elem(&works, &key);

	if (!found)
		return 1;
	io.out[0] = bpf_wq_init(&found->work, &works, 0);
	io.out[1] = bpf_wq_set_callback_impl(&found->work, run, 0, NULL);
	if (io.arg[0])
		io.out[2] = bpf_wq_start(&found->work, 0);
	return 0;
}
