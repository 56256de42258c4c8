// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// LPM trie, queue, stack, bloom filter and walks over maps, driven by the host.
#include "io.h"

struct prefix {
	__u32 length;
	__u8 data[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 6);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u64);
} lpm SEC(".maps");

/* arg: operation, prefix length, address (big-endian bytes), value, flags. */
SEC("xdp")
int on_lpm(struct xdp_md *ctx)
{
	struct prefix key = { .length = (__u32)io.arg[1] };
	__u64 value = io.arg[3], *found;

	*(__u32 *)key.data = (__u32)io.arg[2];
	switch (io.arg[0]) {
	case 0:
		found = bpf_map_lookup_elem(&lpm, &key);
		io.out[0] = found != NULL;
		if (found) {
			io.out[1] = *found;
			*found += value;
		}
		break;
	case 1:
		io.out[0] = bpf_map_update_elem(&lpm, &key, &value, io.arg[4]);
		break;
	case 2:
		io.out[0] = bpf_map_delete_elem(&lpm, &key);
		break;
	case 3: /* update while holding a pointer to the old value */
		found = bpf_map_lookup_elem(&lpm, &key);
		io.out[0] = found != NULL;
		if (!found)
			break;
		io.out[1] = bpf_map_update_elem(&lpm, &key, &value, BPF_ANY);
		io.out[2] = *found;
		found = bpf_map_lookup_elem(&lpm, &key);
		io.out[3] = found ? *found : ~0ull;
		break;
	}
	return XDP_PASS;
}

#define UNKEYED(name, map_type, entries) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__uint(value_size, 12); \
	} name SEC(".maps")

UNKEYED(queue, BPF_MAP_TYPE_QUEUE, 3);
UNKEYED(stack, BPF_MAP_TYPE_STACK, 3);
UNKEYED(bloom, BPF_MAP_TYPE_BLOOM_FILTER, 1000);

struct item {
	__u32 a, b, c;
};

/* arg: operation, value, flags. */
#define ON_QUEUE(map) \
	SEC("xdp") int on_##map(struct xdp_md *ctx) \
	{ \
		struct item item = { (__u32)io.arg[1], 2, 3 }; \
\
		switch (io.arg[0]) { \
		case 0: \
			io.out[0] = bpf_map_push_elem(&map, &item, io.arg[2]); \
			break; \
		case 1: \
			io.out[0] = bpf_map_pop_elem(&map, &item); \
			break; \
		case 2: \
			io.out[0] = bpf_map_peek_elem(&map, &item); \
			break; \
		} \
		io.out[1] = item.a; \
		io.out[2] = item.b; \
		io.out[3] = item.c; \
		return XDP_PASS; \
	}

ON_QUEUE(queue)
ON_QUEUE(stack)

SEC("xdp")
int on_bloom(struct xdp_md *ctx)
{
	struct item item = { (__u32)io.arg[1], 2, 3 };

	if (io.arg[0] == 0)
		io.out[0] = bpf_map_push_elem(&bloom, &item, io.arg[2]);
	else
		io.out[0] = bpf_map_peek_elem(&bloom, &item);
	return XDP_PASS;
}

#define WALKED(name, map_type) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, 8); \
		__type(key, __u32); \
		__type(value, __u64); \
	} name SEC(".maps")

WALKED(array, BPF_MAP_TYPE_ARRAY);
WALKED(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY);
WALKED(hash, BPF_MAP_TYPE_HASH);
WALKED(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH);
WALKED(lru, BPF_MAP_TYPE_LRU_HASH);
WALKED(lru_percpu, BPF_MAP_TYPE_LRU_PERCPU_HASH);

struct walk {
	__u64 keys, values, turns, stop_at, deletes;
};

static long visit(void *map, __u32 *key, __u64 *value, struct walk *walk)
{
	walk->keys += *key;
	walk->values += *value;
	walk->turns++;
	*value += 100;
	return walk->turns == walk->stop_at;
}

static long visit_and_delete(void *map, __u32 *key, __u64 *value, struct walk *walk)
{
	walk->keys += *key;
	walk->turns++;
	walk->deletes += bpf_map_delete_elem(map, key) == 0;
	return 0;
}

/* arg: turn to stop at, flags, 1 to delete. */
#define WALK(map, deleting) \
	SEC("xdp") int walk_##map(struct xdp_md *ctx) \
	{ \
		struct walk walk = { .stop_at = io.arg[0] }; \
\
		if (deleting && io.arg[2]) \
			io.out[0] = bpf_for_each_map_elem(&map, visit_and_delete, &walk, 0); \
		else if (io.arg[1]) \
			io.out[0] = bpf_for_each_map_elem(&map, visit, &walk, 1); \
		else \
			io.out[0] = bpf_for_each_map_elem(&map, visit, &walk, 0); \
		io.out[1] = walk.keys; \
		io.out[2] = walk.values; \
		io.out[3] = walk.turns; \
		io.out[4] = walk.deletes; \
		return XDP_PASS; \
	}

WALK(array, 0)
WALK(percpu_array, 0)
WALK(hash, 1)
WALK(percpu_hash, 1)
WALK(lru, 1)
WALK(lru_percpu, 1)
