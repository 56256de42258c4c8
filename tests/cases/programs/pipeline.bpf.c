// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A pipeline of tail calls by protocol: each stage leaves its mark in metadata that the last one sums up.
#include "packet.h"

int pipeline_tcp(struct xdp_md *ctx);
int pipeline_udp(struct xdp_md *ctx);
int pipeline_end(struct xdp_md *ctx);

enum { STAGE_TCP, STAGE_UDP, STAGE_END };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} stages SEC(".maps") = {
	.values = {
		[STAGE_TCP] = (void *)&pipeline_tcp,
		[STAGE_UDP] = (void *)&pipeline_udp,
		[STAGE_END] = (void *)&pipeline_end,
	},
};

__u64 visits[5];

SEC("xdp")
int pipeline(struct xdp_md *ctx)
{
	struct iphdr *ip = plain_ipv4(DATA(ctx), DATA_END(ctx));

	visits[0]++;
	if (!ip)
		return XDP_PASS;
	__u8 proto = ip->protocol;
	__u32 *mark;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*mark)))
		return XDP_ABORTED;
	mark = (void *)(long)ctx->data_meta;
	if (!FITS(mark, DATA(ctx)))
		return XDP_ABORTED;
	*mark = proto;
	if (proto == IPPROTO_TCP)
		bpf_tail_call(ctx, &stages, STAGE_TCP);
	else if (proto == IPPROTO_UDP)
		bpf_tail_call(ctx, &stages, STAGE_UDP);
	else
		bpf_tail_call(ctx, &stages, proto & 7);
	visits[4]++;
	return XDP_DROP;
}

static __always_inline int mark_and_go(struct xdp_md *ctx, __u32 bits, __u32 end)
{
	__u32 *mark = (void *)(long)ctx->data_meta;

	if (FITS(mark, DATA(ctx)))
		*mark |= bits;
	bpf_tail_call(ctx, &stages, end);
	return XDP_ABORTED;
}

SEC("xdp")
int pipeline_tcp(struct xdp_md *ctx)
{
	visits[1]++;
	if (ctx->data_end - ctx->data < 60)
		return XDP_DROP;
	return mark_and_go(ctx, 0x100, STAGE_END);
}

SEC("xdp")
int pipeline_udp(struct xdp_md *ctx)
{
	visits[2]++;
	if (ctx->data_end - ctx->data < 60)
		return XDP_DROP;
	return mark_and_go(ctx, 0x200, ctx->data_end - ctx->data > 200 ? 3 : STAGE_END);
}

SEC("xdp")
int pipeline_end(struct xdp_md *ctx)
{
	__u32 *mark = (void *)(long)ctx->data_meta;

	visits[3] += ((ctx->data_end - ctx->data) ^ visits[0]) * 3 + visits[1];
	if (FITS(mark, DATA(ctx)))
		return *mark & 0x100 ? XDP_TX : XDP_PASS;
	return ctx->data_end - ctx->data > 100 ? XDP_DROP : XDP_PASS;
}
