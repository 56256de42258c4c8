// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Answers UDP with an ICMP error: the first 28 bytes behind a new header, checksum by csum_diff.
#include "packet.h"

SEC("xdp")
int icmp_unreachable(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);
	const int room = sizeof(struct iphdr) + sizeof(struct icmp_echo);

	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	if (bpf_ntohs(ip->tot_len) < 28 || ip->frag_off & bpf_htons(0x1fff))
		return XDP_DROP;
	int surplus = (int)(end - data) - (int)(sizeof(struct ethhdr) + 28);

	if (surplus < 0 || (surplus && bpf_xdp_adjust_tail(ctx, -surplus)))
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, -room))
		return XDP_ABORTED;
	data = DATA(ctx);
	end = DATA_END(ctx);
	struct ethhdr *eth = data, *old_eth = data + room;
	struct iphdr *old_ip = (void *)(old_eth + 1);
	struct icmp_echo *icmp = data + sizeof(*eth) + sizeof(*ip);

	ip = (void *)(eth + 1);
	if ((void *)old_ip + 28 > end)
		return XDP_ABORTED;
	__builtin_memcpy(eth->h_dest, old_eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, old_eth->h_dest, ETH_ALEN);
	eth->h_proto = old_eth->h_proto;
	*ip = *old_ip;
	ip->saddr = old_ip->daddr;
	ip->daddr = old_ip->saddr;
	ip->protocol = IPPROTO_ICMP;
	ip->ttl = 64;
	ip->tot_len = bpf_htons(room + 28);
	ip->check = 0;
	__s64 sum = bpf_csum_diff(NULL, 0, (void *)ip, sizeof(*ip), 0);

	ip->check = ~fold(sum);
	__builtin_memset(icmp, 0, sizeof(*icmp));
	icmp->type = ICMP_DEST_UNREACH;
	icmp->code = old_ip->ttl > 2 ? 3 : 1;
	sum = bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp) + 28, 0);
	icmp->checksum = ~fold(sum);
	return XDP_TX;
}
