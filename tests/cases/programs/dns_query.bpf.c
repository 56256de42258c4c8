// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reads the name of a DNS question in lower case, with a bounded loop, and counts questions by name and type.
#include "packet.h"

#define LONGEST 48

struct question {
	char name[LONGEST];
	__u16 type;
	__u16 labels;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct question);
	__type(value, __u64);
} questions SEC(".maps");

SEC("xdp")
int dns_query(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);

	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	struct udphdr *udp = (void *)(ip + 1);
	__u8 *dns = (void *)(udp + 1);

	if ((void *)(dns + 12) > end || udp->dest != bpf_htons(53))
		return XDP_PASS;
	if (dns[2] & 0x80)
		return XDP_DROP;
	__u8 *at = dns + 12;
	struct question question = {};
	__u32 left = 0;

	for (__u32 i = 0; i < LONGEST; i++) {
		if ((void *)(at + 1) > end)
			return XDP_ABORTED;
		__u8 c = *at++;

		if (left == 0) {
			if (c == 0)
				break;
			if (c > 63)
				return XDP_DROP;
			left = c;
			question.labels++;
			question.name[i] = '.';
			continue;
		}
		left--;
		question.name[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
	if ((void *)(at + 4) > end)
		return XDP_ABORTED;
	question.type = at[0] << 8 | at[1];
	__u64 one = 1, *count = bpf_map_lookup_elem(&questions, &question);

	if (count) {
		__sync_fetch_and_add(count, 1);
		return XDP_TX;
	}
	return bpf_map_update_elem(&questions, &question, &one, BPF_ANY) ? XDP_ABORTED : XDP_REDIRECT;
}
