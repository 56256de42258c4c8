// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs that device and CPU maps hold, for packets that really go there.
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

/* Runs and bytes by CPU: of first programs at 0, of second ones at 1. */
struct counts {
	__u64 runs;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct counts);
} counted SEC(".maps");

static __always_inline void count(struct xdp_md *ctx, __u32 at)
{
	struct counts *counts = bpf_map_lookup_elem(&counted, &at);

	if (counts) {
		counts->runs++;
		counts->bytes += ctx->data_end - ctx->data;
	}
}

/* The first program: moves both ends by arguments and sends to the entry of an argument. */
#define SEND(map)                                                   \
	SEC("xdp")                                                  \
	int to_##map(struct xdp_md *ctx)                            \
	{                                                           \
		count(ctx, 0);                                      \
		if (io.arg[1])                                      \
			bpf_xdp_adjust_head(ctx, (int)io.arg[1]);   \
		if (io.arg[2])                                      \
			bpf_xdp_adjust_tail(ctx, (int)io.arg[2]);   \
		if (io.arg[3])                                      \
			bpf_xdp_adjust_meta(ctx, -(int)io.arg[3]);  \
		return bpf_redirect_map(&map, io.arg[0], XDP_DROP); \
	}

SEND(dev)
SEND(dev_hash)
SEND(cpu)

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* What a second program sees, and the action that the packet's 15th byte asks for. */
static __always_inline int second(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	count(ctx, 1);
	look(ctx, 0);
	io.out[3] = ctx->ingress_ifindex;
	io.out[4] = ctx->rx_queue_index;
	io.out[5] = bpf_get_smp_processor_id();
	if ((void *)(data + 60) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	data[0] = 0x42;
	data[59] = 0x43;
	return data[14];
}

/* Puts an Ethernet header in front and takes four bytes away behind. */
static __always_inline int wrap(struct xdp_md *ctx)
{
	__u8 *data;

	io.out[8] = bpf_xdp_adjust_head(ctx, -14);
	io.out[9] = bpf_xdp_adjust_tail(ctx, -4);
	data = (void *)(long)ctx->data;
	if ((void *)(data + 14) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memset(data, 0x66, 12);
	data[12] = 0x88;
	data[13] = 0xb5;
	return XDP_PASS;
}

/* How far each side can be moved. */
static __always_inline int stretch(struct xdp_md *ctx)
{
	io.out[10] = bpf_xdp_adjust_head(ctx, -300);
	io.out[11] = bpf_xdp_adjust_head(ctx, -128);
	io.out[12] = bpf_xdp_adjust_head(ctx, 128);
	io.out[13] = bpf_xdp_adjust_tail(ctx, 128);
	io.out[14] = bpf_xdp_adjust_tail(ctx, -128);
	return XDP_PASS;
}

#define SECONDS(kind)                             \
	SEC("xdp/" #kind)                         \
	int kind##_second(struct xdp_md *ctx)     \
	{                                         \
		return second(ctx);               \
	}                                         \
	SEC("xdp/" #kind)                         \
	int kind##_wrap(struct xdp_md *ctx)       \
	{                                         \
		count(ctx, 1);                    \
		look(ctx, 0);                     \
		return wrap(ctx);                 \
	}                                         \
	SEC("xdp/" #kind)                         \
	int kind##_stretch(struct xdp_md *ctx)    \
	{                                         \
		count(ctx, 1);                    \
		return stretch(ctx);              \
	}

SECONDS(devmap)
SECONDS(cpumap)

/* Of a devmap only: the interface that the packet leaves by. */
SEC("xdp/devmap")
int devmap_egress(struct xdp_md *ctx)
{
	io.out[6] = ctx->egress_ifindex;
	return second(ctx);
}

/* To all entries; to an interface; back. */
#define SPREAD(map)                                             \
	SEC("xdp")                                              \
	int over_##map(struct xdp_md *ctx)                      \
	{                                                       \
		count(ctx, 0);                                  \
		return bpf_redirect_map(&map, 0, io.arg[0]);    \
	}

SPREAD(dev)
SPREAD(dev_hash)

SEC("xdp")
int to_interface(struct xdp_md *ctx)
{
	count(ctx, 0);
	return bpf_redirect(io.arg[0], 0);
}

SEC("xdp")
int bounce(struct xdp_md *ctx)
{
	count(ctx, 0);
	return XDP_TX;
}

/* Of several targets: writes whose turn it is; the packet's 15th byte is the action, or the interface that it is for. */
SEC("xdp/devmap")
int devmap_turn(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	count(ctx, 1);
	if ((void *)(data + 60) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	data[15] = ++io.out[7];
	data[16] = ctx->egress_ifindex;
	data[17]++;
	if (data[14] > 5)
		return data[14] == data[16] ? XDP_PASS : XDP_DROP;
	return data[14];
}

/* Goes on from a CPU to an entry of an argument. */
SEC("xdp/cpumap")
int cpumap_onward(struct xdp_md *ctx)
{
	count(ctx, 1);
	return bpf_redirect_map(&dev, io.arg[5], XDP_DROP);
}
