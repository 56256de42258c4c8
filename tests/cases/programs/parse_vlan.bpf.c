// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Classifies by the protocol below at most two VLAN tags and counts frames by depth of tags.
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} by_depth SEC(".maps");

SEC("xdp")
int parse_vlan(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	__u32 depth = 0;
	__u64 *count;

	if (!FITS(eth, end))
		return XDP_ABORTED;
	__be16 proto = eth->h_proto;
	struct vlan_tag *tag = (void *)(eth + 1);
	__u16 id = 0;

#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if (!FITS(tag, end))
			return XDP_ABORTED;
		proto = tag->proto;
		id = bpf_ntohs(tag->tci) & 0xfff;
		tag++;
		depth++;
	}
	count = bpf_map_lookup_elem(&by_depth, &depth);
	if (count)
		*count += 1 + ((__u64)id << 32);
	if (proto == bpf_htons(ETH_P_IP))
		return XDP_PASS;
	return depth ? XDP_TX : XDP_DROP;
}
