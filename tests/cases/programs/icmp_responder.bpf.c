// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Answers ARP requests for one address and pings to any: turns the frame round and mends the checksums.
#include "packet.h"

const volatile __u8 own_ip[4] = {192, 0, 2, 2};
const volatile __u8 own_mac[ETH_ALEN] = {2, 0, 0, 0, 0, 0x42};
__u64 answered[2];

static __always_inline int answer_arp(struct ethhdr *eth, struct arp_ipv4 *arp)
{
	if (arp->op != bpf_htons(ARPOP_REQUEST))
		return XDP_PASS;
	for (int i = 0; i < 4; i++)
		if (arp->target_ip[i] != own_ip[i])
			return XDP_DROP;
	arp->op = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	__builtin_memcpy(arp->target_ip, arp->sender_ip, 4);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	for (int i = 0; i < ETH_ALEN; i++)
		eth->h_source[i] = arp->sender_mac[i] = own_mac[i];
	for (int i = 0; i < 4; i++)
		arp->sender_ip[i] = own_ip[i];
	answered[0]++;
	return XDP_TX;
}

SEC("xdp")
int icmp_responder(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;

	if (!FITS(eth, end))
		return XDP_ABORTED;
	if (eth->h_proto == bpf_htons(ETH_P_ARP)) {
		struct arp_ipv4 *arp = (void *)(eth + 1);

		return FITS(arp, end) ? answer_arp(eth, arp) : XDP_DROP;
	}
	struct iphdr *ip = plain_ipv4(data, end);

	if (!ip || ip->protocol != IPPROTO_ICMP)
		return XDP_PASS;
	struct icmp_echo *icmp = (void *)(ip + 1);

	if (!FITS(icmp, end) || icmp->type != ICMP_ECHO)
		return XDP_DROP;
	icmp->type = ICMP_ECHOREPLY;
	replace16(&icmp->checksum, bpf_htons(ICMP_ECHO << 8), 0);
	__be32 address = ip->saddr;

	ip->saddr = ip->daddr;
	ip->daddr = address;
	swap_mac(eth);
	__sync_fetch_and_add(&answered[1], 1);
	return XDP_TX;
}
