// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A socket filter that keeps as much of a packet as its protocol deserves, and sums bytes by protocol.
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} bytes SEC(".maps");

SEC("socket")
int socket_classifier(struct __sk_buff *skb)
{
	__u32 proto = 0, *sum;
	__u8 first, number;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return 0;
	if (first >> 4 == 4 && !bpf_skb_load_bytes(skb, 9, &number, 1))
		proto = number;
	else if (first >> 4 == 6 && !bpf_skb_load_bytes(skb, 6, &number, 1))
		proto = number;
	else if (skb->protocol == bpf_htons(ETH_P_ARP))
		proto = 255;
	sum = bpf_map_lookup_elem(&bytes, &proto);
	if (!sum)
		return 0;
	*sum += skb->len;
	skb->cb[1] = *sum;
	switch (proto) {
	case IPPROTO_TCP:
		return skb->len;
	case IPPROTO_UDP:
		return 64 + skb->cb[1] % 16;
	case IPPROTO_ICMP:
		return 28;
	case 255:
		return 42;
	}
	return skb->pkt_type + 1;
}
