// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Values with fields of the kernel: a lock, a timer.
#include "io.h"

struct locked {
	__u32 before;
	struct bpf_spin_lock lock;
	__u64 count;
};

struct timed {
	__u64 before;
	struct bpf_timer timer;
	__u64 count;
};

#define MAP(name, map_type, type_of_value, entries) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, __u32); \
		__type(value, type_of_value); \
	} name SEC(".maps")

MAP(lock_array, BPF_MAP_TYPE_ARRAY, struct locked, 4);
MAP(lock_hash, BPF_MAP_TYPE_HASH, struct locked, 4);
MAP(timer_array, BPF_MAP_TYPE_ARRAY, struct timed, 4);
MAP(timer_hash, BPF_MAP_TYPE_HASH, struct timed, 4);
/* Roomy: a full one evicts even when an entry is replaced. */
MAP(timer_lru, BPF_MAP_TYPE_LRU_HASH, struct timed, 64);

/* arg: key, number, flags of an update, 1 to update. */
#define ON_LOCKED(map) \
	SEC("xdp") int on_##map(struct xdp_md *ctx) \
	{ \
		struct locked value = { .before = 7, .count = io.arg[1] }, *found; \
		__u32 key = (__u32)io.arg[0]; \
\
		if (io.arg[3]) \
			io.out[0] = bpf_map_update_elem(&map, &key, &value, io.arg[2]); \
		found = bpf_map_lookup_elem(&map, &key); \
		io.out[1] = found != NULL; \
		if (!found) \
			return XDP_DROP; \
		bpf_spin_lock(&found->lock); \
		found->count += io.arg[1]; \
		found->before++; \
		bpf_spin_unlock(&found->lock); \
		io.out[2] = found->count; \
		return XDP_PASS; \
	}

ON_LOCKED(lock_array)
ON_LOCKED(lock_hash)

#define ON_TIMED(map) \
	SEC("xdp") int on_##map(struct xdp_md *ctx) \
	{ \
		struct timed value = { .before = 7, .count = io.arg[1] }, *found; \
		__u32 key = (__u32)io.arg[0]; \
\
		if (io.arg[3]) \
			io.out[0] = bpf_map_update_elem(&map, &key, &value, io.arg[2]); \
		found = bpf_map_lookup_elem(&map, &key); \
		io.out[1] = found != NULL; \
		if (found) \
			io.out[2] = found->count++; \
		return XDP_PASS; \
	}

ON_TIMED(timer_array)
ON_TIMED(timer_hash)
ON_TIMED(timer_lru)
