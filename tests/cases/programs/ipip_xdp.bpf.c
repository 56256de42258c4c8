// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IPIP both ways: UDP to even ports is wrapped, protocol 4 is unwrapped, the Ethernet header moved along.
#include "packet.h"

static __always_inline int unwrap(struct xdp_md *ctx, struct ethhdr *eth)
{
	struct ethhdr copy = *eth;

	if (bpf_xdp_adjust_head(ctx, sizeof(struct iphdr)))
		return XDP_ABORTED;
	eth = DATA(ctx);
	if (!FITS(eth, DATA_END(ctx)))
		return XDP_ABORTED;
	*eth = copy;
	return XDP_PASS;
}

static __always_inline int wrap(struct xdp_md *ctx, struct ethhdr *eth, struct iphdr *inner)
{
	struct ethhdr copy = *eth;
	struct iphdr outer = *inner;

	outer.protocol = IPPROTO_IPIP;
	outer.tot_len = bpf_htons(bpf_ntohs(inner->tot_len) + sizeof(outer));
	outer.saddr = bpf_htonl(0x0a010001);
	outer.daddr = bpf_htonl(0x0a010000 + (bpf_ntohl(inner->daddr) & 0xff));
	outer.check = 0;
	outer.check = ipv4_check(&outer);
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(outer)))
		return XDP_ABORTED;
	eth = DATA(ctx);
	inner = (void *)(eth + 1);
	if (!FITS(inner, DATA_END(ctx)))
		return XDP_ABORTED;
	*eth = copy;
	*inner = outer;
	return XDP_TX;
}

SEC("xdp")
int ipip_xdp(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);

	if (!ip)
		return XDP_DROP;
	if (ip->protocol == IPPROTO_IPIP)
		return unwrap(ctx, data);
	struct ports *ports = (void *)(ip + 1);

	if (ip->protocol != IPPROTO_UDP || !FITS(ports, end) || (bpf_ntohs(ports->dest) & 1))
		return XDP_DROP;
	return wrap(ctx, data, ip);
}
