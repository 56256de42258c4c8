// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Timers and work queues: one operation per run, by the arguments of the io block.
#include "io.h"

struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback)(void *map, int *key, void *value),
				    unsigned int flags, void *aux) __ksym;

struct timed {
	__u64 count;
	struct bpf_timer timer;
	__u64 restarts;
};

struct worked {
	__u64 count;
	struct bpf_wq work;
};

#define MAP(name, map_type, type_of_value, entries) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, __u32); \
		__type(value, type_of_value); \
	} name SEC(".maps")

MAP(timer_array, BPF_MAP_TYPE_ARRAY, struct timed, 4);
MAP(timer_hash, BPF_MAP_TYPE_HASH, struct timed, 4);
MAP(timer_lru, BPF_MAP_TYPE_LRU_HASH, struct timed, 64);
MAP(work_array, BPF_MAP_TYPE_ARRAY, struct worked, 4);
MAP(work_hash, BPF_MAP_TYPE_HASH, struct worked, 4);

/* What callbacks leave: the order of keys, results of calls inside. */
struct {
	__u64 fired;
	__u64 keys;
	__u64 cancel;
	__u64 other;
} seen SEC(".bss.seen");

#define NOTE(key) \
	do { \
		seen.keys = seen.keys * 16 + *(key) + 1; \
		__sync_fetch_and_add(&seen.fired, 1); \
	} while (0)

static int count(void *map, __u32 *key, struct timed *value)
{
	value->count++;
	NOTE(key);
	return 0;
}

static int restart(void *map, __u32 *key, struct timed *value)
{
	value->count++;
	if (value->restarts) {
		value->restarts--;
		seen.other = bpf_timer_start(&value->timer, 1000, 0);
	} else {
		seen.cancel = bpf_timer_cancel(&value->timer);
	}
	NOTE(key);
	return 0;
}

static int remove(void *map, __u32 *key, struct timed *value)
{
	seen.other = bpf_map_delete_elem(map, key);
	seen.cancel = bpf_timer_cancel(&value->timer);
	NOTE(key);
	return 0;
}

enum { INIT, SET, START, CANCEL, UPDATE, DELETE, LOOK };

/* arg: operation, key, and by operation: clock, callback, {ns, flags}, {restarts, flags}. */
#define ON_TIMED(map) \
	SEC("xdp") int on_##map(struct xdp_md *ctx) \
	{ \
		struct timed value = { .restarts = io.arg[2] }, *found; \
		__u32 key = (__u32)io.arg[1]; \
\
		if (io.arg[0] == UPDATE) \
			io.out[0] = bpf_map_update_elem(&map, &key, &value, io.arg[3]); \
		if (io.arg[0] == DELETE) \
			io.out[0] = bpf_map_delete_elem(&map, &key); \
		found = bpf_map_lookup_elem(&map, &key); \
		io.out[1] = found != NULL; \
		if (!found) \
			return XDP_DROP; \
		if (io.arg[0] == INIT) \
			io.out[0] = bpf_timer_init(&found->timer, &map, io.arg[2]); \
		if (io.arg[0] == SET && io.arg[2] == 0) \
			io.out[0] = bpf_timer_set_callback(&found->timer, count); \
		if (io.arg[0] == SET && io.arg[2] == 1) \
			io.out[0] = bpf_timer_set_callback(&found->timer, restart); \
		if (io.arg[0] == SET && io.arg[2] == 2) \
			io.out[0] = bpf_timer_set_callback(&found->timer, remove); \
		if (io.arg[0] == START) \
			io.out[0] = bpf_timer_start(&found->timer, io.arg[2], io.arg[3]); \
		if (io.arg[0] == CANCEL) \
			io.out[0] = bpf_timer_cancel(&found->timer); \
		io.out[2] = found->count; \
		return XDP_PASS; \
	}

ON_TIMED(timer_array)
ON_TIMED(timer_hash)
ON_TIMED(timer_lru)

static int work(void *map, int *key, void *value)
{
	struct worked *found = value;

	found->count++;
	NOTE(key);
	return 0;
}

/* arg: operation, key, flags. */
#define ON_WORKED(map) \
	SEC("tc") int on_##map(struct __sk_buff *skb) \
	{ \
		struct worked value = {}, *found; \
		__u32 key = (__u32)io.arg[1]; \
\
		if (io.arg[0] == UPDATE) \
			io.out[0] = bpf_map_update_elem(&map, &key, &value, io.arg[3]); \
		if (io.arg[0] == DELETE) \
			io.out[0] = bpf_map_delete_elem(&map, &key); \
		found = bpf_map_lookup_elem(&map, &key); \
		io.out[1] = found != NULL; \
		if (!found) \
			return 1; \
		if (io.arg[0] == INIT) \
			io.out[0] = bpf_wq_init(&found->work, &map, io.arg[2]); \
		if (io.arg[0] == SET) \
			io.out[0] = bpf_wq_set_callback_impl(&found->work, work, io.arg[2], NULL); \
		if (io.arg[0] == START) \
			io.out[0] = bpf_wq_start(&found->work, io.arg[2]); \
		io.out[2] = found->count; \
		return 0; \
	}

ON_WORKED(work_array)
ON_WORKED(work_hash)
