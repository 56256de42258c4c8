// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pushes a VLAN tag chosen by the MAC address on untagged frames and pops that of tagged ones.
#include "packet.h"

__u32 popped[2], pushed;

SEC("tc")
int vlan_tc(struct __sk_buff *skb)
{
	struct ethhdr *eth = DATA(skb);

	if (!FITS(eth, DATA_END(skb)))
		return TC_ACT_SHOT;
	if (skb->vlan_present || eth->h_proto == bpf_htons(ETH_P_8021Q) ||
	    eth->h_proto == bpf_htons(ETH_P_8021AD)) {
		popped[skb->vlan_present & 1]++;
		if (bpf_skb_vlan_pop(skb))
			return TC_ACT_STOLEN;
		return skb->vlan_present ? TC_ACT_PIPE : TC_ACT_OK;
	}
	__u16 id = (eth->h_dest[5] << 4 | eth->h_source[5]) & 0xfff;

	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		id |= 7 << 13;
	__u16 tag = eth->h_proto == bpf_htons(ETH_P_IPV6) ? ETH_P_8021AD : ETH_P_8021Q;

	if (bpf_skb_vlan_push(skb, bpf_htons(tag), id))
		return TC_ACT_SHOT;
	pushed += skb->vlan_tci;
	return skb->vlan_present ? TC_ACT_RECLASSIFY : TC_ACT_REDIRECT;
}
