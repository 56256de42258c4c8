// SPDX-License-Identifier: MIT
/* Calls whose results differ by nature, in everything that can hold a call. */
#include "io.h"

struct draw {
	__u64 sum;
	__u64 limit;
};

int behind(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct xdp_md *ctx));
} next SEC(".maps") = {
	.values = {
		[0] = (void *)&behind,
	},
};

static __noinline __u64 stamp(__u64 salt)
{
	__u64 now = bpf_ktime_get_ns();

	return now * 31 + salt + (bpf_get_prandom_u32() & 7);
}

static long draw_one(__u64 index, struct draw *draw)
{
	__u32 random = bpf_get_prandom_u32();

	draw->sum = draw->sum * 33 + random + index;
	return draw->sum % 16 >= draw->limit;
}

SEC("xdp")
int clocks(struct xdp_md *ctx)
{
	io.out[0] = bpf_ktime_get_ns();
	io.out[1] = bpf_ktime_get_boot_ns();
	io.out[2] = bpf_ktime_get_coarse_ns();
	io.out[3] = bpf_ktime_get_tai_ns();
	io.out[4] = bpf_jiffies64();
	io.out[5] = bpf_get_prandom_u32();
	io.out[6] = bpf_get_smp_processor_id();
	return bpf_get_prandom_u32() % 2 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int nested(struct xdp_md *ctx)
{
	struct draw draw = { .limit = 14 };
	__u64 sum = stamp(1);

	for (int i = 0; i < 9; i++) {
		__u32 random = bpf_get_prandom_u32();

		if (random & 1)
			sum += stamp(random);
		else
			sum ^= bpf_get_prandom_u32();
	}
	io.out[7] = sum;
	io.out[8] = bpf_loop(40, draw_one, &draw, 0);
	io.out[9] = draw.sum;
	return stamp(2) % 4;
}

SEC("xdp")
int behind(struct xdp_md *ctx)
{
	io.out[10] += stamp(3);
	return XDP_TX;
}

SEC("xdp")
int chained(struct xdp_md *ctx)
{
	io.out[11] = bpf_ktime_get_ns();
	if (bpf_get_prandom_u32() & 1)
		bpf_tail_call(ctx, &next, 0);
	return XDP_PASS;
}
