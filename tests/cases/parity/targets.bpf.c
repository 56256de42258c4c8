// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Device and CPU maps with programs for their targets.
#include "io.h"

#define TARGETS(name, kind)                     \
	struct {                                \
		__uint(type, kind);             \
		__uint(key_size, 4);            \
		__uint(value_size, 8);          \
		__uint(max_entries, 4);         \
	} name SEC(".maps")

TARGETS(dev, BPF_MAP_TYPE_DEVMAP);
TARGETS(dev_hash, BPF_MAP_TYPE_DEVMAP_HASH);
TARGETS(cpu, BPF_MAP_TYPE_CPUMAP);

#define SEND(map)                                                  \
	SEC("xdp")                                                 \
	int to_##map(struct xdp_md *ctx)                           \
	{                                                          \
		if (io.arg[1])                                     \
			bpf_xdp_adjust_head(ctx, (int)io.arg[1]);  \
		return bpf_redirect_map(&map, io.arg[0], XDP_DROP); \
	}

SEND(dev)
SEND(dev_hash)
SEND(cpu)

SEC("xdp/devmap")
int out(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	look(ctx, 0);
	io.out[3] = ctx->egress_ifindex;
	io.out[4] = ctx->ingress_ifindex;
	io.out[5] = ctx->rx_queue_index;
	io.out[6] = bpf_xdp_adjust_head(ctx, -4);
	data = (void *)(long)ctx->data;
	if ((void *)(data + 4) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	data[0] = 0x42;
	return XDP_PASS;
}

SEC("xdp.frags/devmap")
int out_frags(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp/cpumap")
int in(struct xdp_md *ctx)
{
	look(ctx, 0);
	io.out[3] = ctx->ingress_ifindex;
	return XDP_DROP;
}

SEC("xdp")
int plain(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int other(struct __sk_buff *skb)
{
	return 0;
}
