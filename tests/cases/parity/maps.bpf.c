// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Map helpers on every map type with keys, driven by the host.
#include "io.h"

#define MAP(name, map_type, entries, flags) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__uint(map_flags, flags); \
		__type(key, __u32); \
		__type(value, __u64); \
	} name SEC(".maps")

MAP(hash, BPF_MAP_TYPE_HASH, 4, 0);
MAP(lazy_hash, BPF_MAP_TYPE_HASH, 4, BPF_F_NO_PREALLOC);
MAP(array, BPF_MAP_TYPE_ARRAY, 4, 0);
MAP(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 4, 0);
MAP(lazy_percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 4, BPF_F_NO_PREALLOC);
MAP(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 0);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, 100, 0);
MAP(lru_percpu, BPF_MAP_TYPE_LRU_PERCPU_HASH, 100, 0);

/* arg: operation, key, value, flags. */
static __always_inline void operate(void *map)
{
	__u32 key = (__u32)io.arg[1];
	__u64 value = io.arg[2], *found;

	switch (io.arg[0]) {
	case 0: /* look up, and change in place */
		found = bpf_map_lookup_elem(map, &key);
		io.out[0] = found != NULL;
		if (found) {
			io.out[1] = *found;
			*found += value;
		}
		break;
	case 1:
		io.out[0] = bpf_map_update_elem(map, &key, &value, io.arg[3]);
		break;
	case 2:
		io.out[0] = bpf_map_delete_elem(map, &key);
		break;
	case 3: /* update while holding a pointer to the old value */
		found = bpf_map_lookup_elem(map, &key);
		io.out[0] = found != NULL;
		if (!found)
			break;
		io.out[1] = bpf_map_update_elem(map, &key, &value, BPF_ANY);
		io.out[2] = *found;
		*found = 77;
		io.out[3] = *found;
		found = bpf_map_lookup_elem(map, &key);
		io.out[4] = found ? *found : ~0ull;
		/* Once more: the place of the first value may be in use again. */
		value++;
		io.out[5] = bpf_map_update_elem(map, &key, &value, BPF_EXIST);
		found = bpf_map_lookup_elem(map, &key);
		io.out[6] = found ? *found : ~0ull;
		break;
	case 4: /* delete while holding a pointer */
		found = bpf_map_lookup_elem(map, &key);
		io.out[0] = found != NULL;
		if (!found)
			break;
		io.out[1] = bpf_map_delete_elem(map, &key);
		io.out[2] = bpf_map_delete_elem(map, &key);
		io.out[3] = *found;
		io.out[4] = bpf_map_lookup_elem(map, &key) != NULL;
		break;
	case 5: /* atomics on a value */
		found = bpf_map_lookup_elem(map, &key);
		io.out[0] = found != NULL;
		if (!found)
			break;
		__sync_fetch_and_add(found, value);
		io.out[1] = *found;
		break;
	}
}

#define OPERATE(map) \
	SEC("xdp") int on_##map(struct xdp_md *ctx) \
	{ \
		operate(&map); \
		return XDP_PASS; \
	}

OPERATE(hash)
OPERATE(lazy_hash)
OPERATE(array)
OPERATE(percpu_hash)
OPERATE(lazy_percpu_hash)
OPERATE(percpu_array)

#define PERCPU(map) \
	SEC("xdp") int cpu_of_##map(struct xdp_md *ctx) \
	{ \
		__u32 key = (__u32)io.arg[1]; \
		__u64 *found = bpf_map_lookup_percpu_elem(&map, &key, (__u32)io.arg[0]); \
\
		io.out[0] = found != NULL; \
		if (found) { \
			io.out[1] = *found; \
			*found = io.arg[2]; \
		} \
		return XDP_PASS; \
	}

PERCPU(percpu_hash)
PERCPU(percpu_array)

/* Fills an LRU map with keys from arg[0] to arg[1], looking at key arg[2] after each. */
static __always_inline int fill(void *map)
{
	__u32 key, watched = (__u32)io.arg[2], i;

	for (i = 0; i < 400; i++) {
		__u64 value = i;

		key = (__u32)io.arg[0] + i;
		if (key >= io.arg[1])
			break;
		if (bpf_map_update_elem(map, &key, &value, BPF_ANY))
			io.out[0]++;
		if (bpf_map_lookup_elem(map, &watched))
			io.out[1]++;
	}
	return XDP_PASS;
}

SEC("xdp")
int fill_lru(struct xdp_md *ctx)
{
	return fill(&lru);
}

SEC("xdp")
int fill_lru_percpu(struct xdp_md *ctx)
{
	return fill(&lru_percpu);
}
