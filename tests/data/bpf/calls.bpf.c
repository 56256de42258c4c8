// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Subprograms called in an order that differs from their definition, callbacks, and a program in another section.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 sums[4];

static __noinline __u64 leaf(__u64 x)
{
	sums[x & 3] += x;
	return sums[(x + 1) & 3];
}

static __noinline __u64 middle(__u64 x)
{
	return leaf(x) * 3 + 1;
}

__noinline __u64 other(__u64 x)
{
	return x * 5 + (x >> 3);
}

static __noinline __u64 top(__u64 x)
{
	return middle(x + 1) + other(x) + leaf(x);
}

static long step(__u32 index, void *ctx)
{
	__u64 *sum = ctx;

	*sum += middle(index);
	return 0;
}

SEC("tc")
int classify(struct __sk_buff *skb)
{
	__u64 sum = 0;

	sum += other(skb->len);
	bpf_loop(10, step, &sum, 0);
	sum += top(skb->len);
	return sum & 1 ? 0 : 2;
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	return (int)(leaf(skb->len) & 1);
}

SEC("xdp.frags")
int frags(struct xdp_md *ctx)
{
	return top(ctx->data_end - ctx->data) & 1 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
