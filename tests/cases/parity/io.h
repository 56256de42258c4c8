/* SPDX-License-Identifier: MIT */
/* The block through which host and program talk: arguments in, results out. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

struct {
	__u64 arg[8];
	__u64 out[56];
} io;

/* Lengths of packet and metadata, and the first eight bytes, to out[at] .. out[at + 2]. */
static __always_inline void look(struct xdp_md *ctx, int at)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	void *meta = (void *)(long)ctx->data_meta;

	io.out[at] = end - data;
	io.out[at + 1] = data - meta;
	if (data + 8 <= end)
		io.out[at + 2] = *(__u64 *)data;
}

char LICENSE[] SEC("license") = "GPL";
