// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sets DSCP by destination port from .rodata, the buffer's priority and mark, CE where capable, on tc.
#include "packet.h"

const volatile struct {
	__u16 port;
	__u8 dscp;
	__u8 class;
} marks[5] = {{53, 46, 1}, {80, 10, 2}, {443, 18, 3}, {8080, 26, 4}, {124, 34, 5}};
__u32 marked[8];

SEC("tc")
int dscp_marker(struct __sk_buff *skb)
{
	void *end = DATA_END(skb);
	struct iphdr *ip = plain_ipv4(DATA(skb), end);
	__u32 at = sizeof(struct ethhdr);

	if (!ip)
		return TC_ACT_UNSPEC;
	struct ports *ports = (void *)(ip + 1);

	if ((ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) || !FITS(ports, end))
		return TC_ACT_OK;
	__u16 port = bpf_ntohs(ports->dest);
	__u16 old = *(__u16 *)ip;

	for (int i = 0; i < 5; i++) {
		if (marks[i].port != port)
			continue;
		__u8 tos = (marks[i].dscp << 2) | (ip->tos & 3);

		skb->priority = marks[i].class;
		skb->mark = (__u32)marks[i].dscp << 16 | port;
		skb->tc_classid = 0x10000 | marks[i].class;
		marked[marks[i].class & 7]++;
		if (bpf_skb_store_bytes(skb, at + 1, &tos, 1, 0))
			return TC_ACT_SHOT;
		__u16 now = (old & bpf_htons(0xff00)) | bpf_htons(tos);

		if (bpf_l3_csum_replace(skb, at + 10, old, now, 2))
			return TC_ACT_SHOT;
		if (bpf_skb_ecn_set_ce(skb))
			return TC_ACT_PIPE;
		return TC_ACT_STOLEN;
	}
	skb->queue_mapping = port & 3;
	skb->cb[0] = port;
	skb->cb[4] = ~port;
	return TC_ACT_PIPE;
}
