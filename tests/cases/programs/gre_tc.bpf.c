// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Adds GRE over IPv4 in front of ICMP with adjust_room and takes it off again from protocol 47.
#include "packet.h"

struct gre {
	__be16 flags;
	__be16 proto;
};

static __always_inline int decap(struct __sk_buff *skb, struct iphdr *ip, void *end)
{
	struct gre *gre = (void *)(ip + 1);

	if (!FITS(gre, end) || gre->flags || gre->proto != bpf_htons(ETH_P_IP))
		return TC_ACT_SHOT;
	if (bpf_skb_adjust_room(skb, -(int)(sizeof(*ip) + sizeof(*gre)), BPF_ADJ_ROOM_MAC, 0))
		return TC_ACT_STOLEN;
	return TC_ACT_OK;
}

SEC("tc")
int gre_tc(struct __sk_buff *skb)
{
	void *end = DATA_END(skb);
	struct iphdr *ip = plain_ipv4(DATA(skb), end);
	struct {
		struct iphdr ip;
		struct gre gre;
	} head = {};

	if (!ip)
		return TC_ACT_UNSPEC;
	if (ip->protocol == IPPROTO_GRE)
		return decap(skb, ip, end);
	if (ip->protocol != IPPROTO_ICMP)
		return TC_ACT_PIPE;
	head.ip = *ip;
	head.ip.protocol = IPPROTO_GRE;
	head.ip.tot_len = bpf_htons(bpf_ntohs(ip->tot_len) + sizeof(head));
	head.ip.check = 0;
	head.ip.check = ipv4_check(&head.ip);
	head.gre.proto = bpf_htons(ETH_P_IP);
	if (bpf_skb_adjust_room(skb, sizeof(head), BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_GRE))
		return TC_ACT_STOLEN;
	if (bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &head, sizeof(head), 0))
		return TC_ACT_SHOT;
	return TC_ACT_REDIRECT;
}
