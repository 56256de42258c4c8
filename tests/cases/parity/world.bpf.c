// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Helpers that ask the machine: routes, neighbours, MTUs.
#include "io.h"

/* struct bpf_fib_lookup as bytes: it has grown since the header. */
char lookup[128] SEC(".data.lookup") = {1};

/* arg: size of the struct, flags. */
static __always_inline void fib(void *ctx)
{
	__u64 size = io.arg[0] & 127;

	if (size)
		io.out[0] = bpf_fib_lookup(ctx, (struct bpf_fib_lookup *)lookup, size, (__u32)io.arg[1]);
}

/* arg: interface, MTU, difference, flags. */
static __always_inline void mtu(void *ctx)
{
	__u32 length = (__u32)io.arg[1];

	io.out[0] = bpf_check_mtu(ctx, (__u32)io.arg[0], &length, (__s32)io.arg[2], io.arg[3]);
	io.out[1] = length;
}

SEC("xdp") int fib_xdp(struct xdp_md *ctx) { fib(ctx); return XDP_PASS; }
SEC("tc") int fib_tc(struct __sk_buff *ctx) { fib(ctx); return 0; }
SEC("xdp") int mtu_xdp(struct xdp_md *ctx) { mtu(ctx); return XDP_PASS; }
SEC("tc") int mtu_tc(struct __sk_buff *ctx) { mtu(ctx); return 0; }
