// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Lowers the MSS option of SYN segments to 1200 on tc, with the checksum mended by the helper.
#include "packet.h"

#define LIMIT 1200

SEC("tc")
int mss_clamp(struct __sk_buff *skb)
{
	void *end = DATA_END(skb);
	struct iphdr *ip = plain_ipv4(DATA(skb), end);

	if (!ip || ip->protocol != IPPROTO_TCP)
		return TC_ACT_UNSPEC;
	struct tcphdr *tcp = (void *)(ip + 1);

	if (!FITS(tcp, end) || !tcp->syn)
		return TC_ACT_OK;
	__u32 at = sizeof(struct ethhdr) + sizeof(*ip) + sizeof(*tcp);
	__u32 last = sizeof(struct ethhdr) + sizeof(*ip) + tcp->doff * 4;
	__u32 check = sizeof(struct ethhdr) + sizeof(*ip) + __builtin_offsetof(struct tcphdr, check);

	for (int i = 0; i < 12 && at < last; i++) {
		__u8 option[4];

		if (bpf_skb_load_bytes(skb, at, option, 1) || !option[0])
			break;
		if (option[0] == 1) {
			at++;
			continue;
		}
		if (bpf_skb_load_bytes(skb, at, option, 2) || option[1] < 2)
			return TC_ACT_SHOT;
		if (option[0] == 2 && option[1] == 4) {
			__be16 old, want = bpf_htons(LIMIT);

			if (bpf_skb_load_bytes(skb, at + 2, &old, 2))
				return TC_ACT_SHOT;
			if (bpf_ntohs(old) <= LIMIT)
				return TC_ACT_OK;
			if (bpf_l4_csum_replace(skb, check, old, want, 2))
				return TC_ACT_STOLEN;
			bpf_skb_store_bytes(skb, at + 2, &want, 2, 0);
			return TC_ACT_PIPE;
		}
		at += option[1];
	}
	return TC_ACT_RECLASSIFY;
}
