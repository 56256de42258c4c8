// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Tail calls: to itself, to another, to nothing, from a subprogram.
#include "io.h"

int again(struct xdp_md *ctx);
int last(struct xdp_md *ctx);
int from_subprogram(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 6);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = {
		[0] = (void *)&again,
		[1] = (void *)&last,
		[3] = (void *)&from_subprogram,
	},
};

SEC("xdp")
int again(struct xdp_md *ctx)
{
	io.out[0]++;
	bpf_tail_call(ctx, &jumps, 0);
	return XDP_DROP;
}

SEC("xdp")
int last(struct xdp_md *ctx)
{
	look(ctx, 4);
	io.out[1]++;
	return XDP_TX;
}

/* Slot by the host: present, empty or out of range. */
SEC("xdp")
int choose(struct xdp_md *ctx)
{
	io.out[2]++;
	bpf_tail_call(ctx, &jumps, (__u32)io.arg[0]);
	io.out[3]++;
	return XDP_PASS;
}

static __noinline int jump(struct xdp_md *ctx, __u32 slot)
{
	io.out[8]++;
	bpf_tail_call(ctx, &jumps, slot);
	io.out[9]++;
	return 5;
}

SEC("xdp")
int from_subprogram(struct xdp_md *ctx)
{
	int result = jump(ctx, (__u32)io.arg[1]);

	io.out[10]++;
	io.out[11] = result;
	return XDP_PASS;
}

/* Packet pointers of before the jump are not those of the program jumped to. */
SEC("xdp")
int after_move(struct xdp_md *ctx)
{
	io.out[12] = bpf_xdp_adjust_head(ctx, 4);
	bpf_tail_call(ctx, &jumps, 1);
	return XDP_ABORTED;
}
