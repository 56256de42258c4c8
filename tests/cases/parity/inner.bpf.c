// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Maps of maps and redirect maps, driven by the host.
#include "io.h"

struct numbers {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
};

struct numbers first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} longer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} other SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct numbers);
} by_index SEC(".maps") = {
	.values = { [1] = &first },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct numbers);
} by_key SEC(".maps");

/* arg: outer key, inner key, value to add. */
#define ON_OUTER(outer) \
	SEC("xdp") int on_##outer(struct xdp_md *ctx) \
	{ \
		__u32 key = (__u32)io.arg[0], within = (__u32)io.arg[1]; \
		void *map = bpf_map_lookup_elem(&outer, &key); \
		__u64 value = io.arg[2], *found; \
\
		io.out[0] = map != NULL; \
		if (!map) \
			return XDP_DROP; \
		found = bpf_map_lookup_elem(map, &within); \
		io.out[1] = found != NULL; \
		if (found) { \
			io.out[2] = *found; \
			*found += value; \
		} \
		io.out[3] = bpf_map_update_elem(map, &within, &value, io.arg[3]); \
		io.out[4] = bpf_map_delete_elem(map, &within); \
		return XDP_PASS; \
	}

ON_OUTER(by_index)
ON_OUTER(by_key)

#define TARGETS(name, map_type, value_bytes) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, 4); \
		__uint(key_size, 4); \
		__uint(value_size, value_bytes); \
	} name SEC(".maps"); \
\
	SEC("xdp") int to_##name(struct xdp_md *ctx) \
	{ \
		return bpf_redirect_map(&name, io.arg[0], io.arg[1]); \
	}

TARGETS(dev, BPF_MAP_TYPE_DEVMAP, 4)
TARGETS(dev_value, BPF_MAP_TYPE_DEVMAP, 8)
TARGETS(dev_hash, BPF_MAP_TYPE_DEVMAP_HASH, 4)
TARGETS(cpu, BPF_MAP_TYPE_CPUMAP, 4)
TARGETS(xsk, BPF_MAP_TYPE_XSKMAP, 4)

/* Programs may look, not write. */
#define LOOK_AT(name) \
	SEC("xdp") int look_at_##name(struct xdp_md *ctx) \
	{ \
		__u32 key = (__u32)io.arg[0], *found = bpf_map_lookup_elem(&name, &key); \
\
		io.out[0] = found ? *found : ~0u; \
		return XDP_PASS; \
	}

LOOK_AT(dev)
LOOK_AT(dev_hash)
LOOK_AT(xsk)
