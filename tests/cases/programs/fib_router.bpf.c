// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Routes by the table of the machine: TTL taken down, MACs set, redirected; answers are counted.
#include "packet.h"

__u64 answers[16];

SEC("xdp")
int fib_router(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = plain_ipv4(data, end);
	struct bpf_fib_lookup fib = {};

	if (!ip)
		return XDP_PASS;
	if (ip->ttl <= 1)
		return XDP_DROP;
	fib.family = 2; /* AF_INET */
	fib.tos = ip->tos;
	fib.l4_protocol = ip->protocol;
	fib.tot_len = bpf_ntohs(ip->tot_len);
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	fib.ifindex = 10;
	long answer = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);

	answers[answer & 15]++;
	if (answer < 0)
		return XDP_ABORTED;
	if (answer)
		return answer <= BPF_FIB_LKUP_RET_PROHIBIT ? XDP_DROP : XDP_PASS;
	replace16(&ip->check, bpf_htons(ip->ttl << 8), bpf_htons((ip->ttl - 1) << 8));
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib.smac, ETH_ALEN);
	return bpf_redirect(fib.ifindex, 0);
}
