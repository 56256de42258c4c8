// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A prog array with initial programs, and maps of maps with and without initial maps.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int pass(struct xdp_md *ctx);
int drop(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = {
		[0] = (void *)&pass,
		[3] = (void *)&drop,
	},
};

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner one SEC(".maps");
struct inner two SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = {
		[0] = &one,
		[2] = &two,
	},
};

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp")
int entry(struct xdp_md *ctx)
{
	__u32 key = ctx->rx_queue_index & 1;
	void *map = bpf_map_lookup_elem(&outer, &key);
	__u64 *value = map ? bpf_map_lookup_elem(map, &key) : 0;

	bpf_tail_call(ctx, &jumps, value ? (__u32)*value : 3);
	return XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
