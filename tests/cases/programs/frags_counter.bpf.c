// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sums all bytes of frames of several buffers in blocks; marks the last byte of those not linear.
#include "packet.h"

struct work {
	struct xdp_md *ctx;
	__u64 sum;
	__u32 length;
	__u32 rest;
};

__u64 total[2];

static long add_block(__u32 index, struct work *work)
{
	__u64 block[4];
	__u32 at = index * sizeof(block);

	if (at + sizeof(block) > work->length) {
		work->rest = work->length - at;
		return 1;
	}
	if (bpf_xdp_load_bytes(work->ctx, at, block, sizeof(block)))
		return 1;
	work->sum += block[0] ^ block[1] ^ block[2] ^ block[3];
	return 0;
}

SEC("xdp.frags")
int frags_counter(struct xdp_md *ctx)
{
	struct work work = {.ctx = ctx, .length = bpf_xdp_get_buff_len(ctx)};
	__u32 linear = ctx->data_end - ctx->data;
	__u8 mark = 0xee;

	bpf_loop(2048, add_block, &work, 0);
	total[0] += work.sum;
	total[1] += work.rest;
	if (linear < work.length) {
		if (bpf_xdp_store_bytes(ctx, work.length - 1, &mark, 1))
			return XDP_ABORTED;
		return work.rest ? XDP_TX : XDP_REDIRECT;
	}
	return work.length > 100 ? XDP_DROP : XDP_PASS;
}
