// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// On the way out of a lightweight tunnel: puts an IPIP header in front of UDP, drops old TTLs.
#include "packet.h"

__u32 wrapped;

SEC("lwt_xmit")
int lwt_encap(struct __sk_buff *skb)
{
	struct iphdr ip;
	void *data, *end;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.version != 4)
		return BPF_DROP;
	if (ip.ttl < 2)
		return BPF_DROP;
	if (ip.protocol != IPPROTO_UDP) {
		skb->mark = ip.protocol;
		skb->priority = ip.tos;
		return BPF_OK;
	}
	if (bpf_skb_change_head(skb, sizeof(ip), 0))
		return BPF_DROP;
	data = DATA(skb);
	end = DATA_END(skb);
	if (data + 2 * sizeof(ip) > end)
		return BPF_DROP;
	ip.protocol = IPPROTO_IPIP;
	ip.ttl--;
	ip.ihl = 5;
	ip.tot_len = bpf_htons(skb->len);
	ip.check = 0;
	ip.check = ipv4_check(&ip);
	*(struct iphdr *)data = ip;
	wrapped++;
	return BPF_LWT_REROUTE;
}
