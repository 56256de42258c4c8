// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Helpers that move the ends of the packet or copy from and to it.
#include "io.h"

char buffer[512] SEC(".data.buffer") = {1};

SEC("xdp")
int adjust_head(struct xdp_md *ctx)
{
	look(ctx, 0);
	io.out[3] = bpf_xdp_adjust_head(ctx, (int)io.arg[0]);
	look(ctx, 4);
	io.out[7] = bpf_xdp_adjust_head(ctx, (int)io.arg[1]);
	look(ctx, 8);
	return XDP_PASS;
}

SEC("xdp")
int adjust_tail(struct xdp_md *ctx)
{
	io.out[3] = bpf_xdp_adjust_tail(ctx, (int)io.arg[0]);
	look(ctx, 4);
	io.out[7] = bpf_xdp_adjust_tail(ctx, (int)io.arg[1]);
	look(ctx, 8);
	io.out[12] = bpf_xdp_get_buff_len(ctx);
	return XDP_TX;
}

SEC("xdp.frags")
int adjust_tail_frags(struct xdp_md *ctx)
{
	io.out[3] = bpf_xdp_adjust_tail(ctx, (int)io.arg[0]);
	look(ctx, 4);
	io.out[7] = bpf_xdp_adjust_tail(ctx, (int)io.arg[1]);
	look(ctx, 8);
	io.out[12] = bpf_xdp_get_buff_len(ctx);
	return XDP_TX;
}

static __always_inline void fill_meta(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	__u32 *meta = (void *)(long)ctx->data_meta;

	if ((void *)(meta + 1) <= data)
		*meta = 0xfeedbeef;
}

SEC("xdp")
int adjust_meta(struct xdp_md *ctx)
{
	look(ctx, 0);
	fill_meta(ctx);
	io.out[3] = bpf_xdp_adjust_meta(ctx, (int)io.arg[0]);
	look(ctx, 4);
	fill_meta(ctx);
	io.out[7] = bpf_xdp_adjust_meta(ctx, (int)io.arg[1]);
	look(ctx, 8);
	io.out[11] = bpf_xdp_adjust_head(ctx, (int)io.arg[2]);
	look(ctx, 12);
	return XDP_PASS;
}

SEC("xdp")
int head_then_meta(struct xdp_md *ctx)
{
	io.out[0] = bpf_xdp_adjust_head(ctx, (int)io.arg[0]);
	io.out[1] = bpf_xdp_adjust_meta(ctx, (int)io.arg[1]);
	fill_meta(ctx);
	look(ctx, 2);
	return XDP_PASS;
}

SEC("xdp")
int load_bytes(struct xdp_md *ctx)
{
	__u32 len = io.arg[1] & 511;

	if (!len)
		return XDP_ABORTED;
	io.out[0] = bpf_xdp_load_bytes(ctx, (__u32)io.arg[0], buffer, len);
	return XDP_DROP;
}

SEC("xdp")
int store_bytes(struct xdp_md *ctx)
{
	__u32 len = io.arg[1] & 511;
	int i;

	if (!len)
		return XDP_ABORTED;
	for (i = 0; i < 8; i++)
		buffer[i] = 0xa0 + i;
	io.out[0] = bpf_xdp_store_bytes(ctx, (__u32)io.arg[0], buffer, len);
	io.out[1] = bpf_xdp_get_buff_len(ctx);
	look(ctx, 2);
	return XDP_DROP;
}

/* Changes the first bytes, so that a repeated run shows whether the packet stays. */
SEC("xdp")
int count_up(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(data + 14) > end)
		return XDP_ABORTED;
	data[0]++;
	io.out[0]++;
	io.out[1] = bpf_xdp_adjust_head(ctx, (int)io.arg[0]);
	return XDP_PASS;
}

SEC("xdp")
int fields(struct xdp_md *ctx)
{
	look(ctx, 0);
	io.out[3] = ctx->ingress_ifindex;
	io.out[4] = ctx->rx_queue_index;
	io.out[5] = bpf_xdp_get_buff_len(ctx);
	return (int)io.arg[0];
}

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	return bpf_redirect((__u32)io.arg[0], io.arg[1]);
}
