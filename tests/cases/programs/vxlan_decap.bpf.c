// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Takes VXLAN off, counts by network, and drops odd ones.
#include "packet.h"

struct vxlan {
	__be32 flags;
	__be32 network;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} networks SEC(".maps");

SEC("xdp")
int vxlan_decap(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);

	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	struct udphdr *udp = (void *)(ip + 1);
	struct vxlan *vxlan = (void *)(udp + 1);

	if (!FITS(vxlan, end) || udp->dest != bpf_htons(4789))
		return XDP_PASS;
	if (!(vxlan->flags & bpf_htonl(0x08000000)))
		return XDP_DROP;
	__u32 network = bpf_ntohl(vxlan->network) >> 8;
	__u64 one = 1, *count = bpf_map_lookup_elem(&networks, &network);

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&networks, &network, &one, BPF_ANY);
	if (network & 1)
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, sizeof(struct ethhdr) + sizeof(*ip) + sizeof(*udp) + sizeof(*vxlan)))
		return XDP_ABORTED;
	void *data = DATA(ctx);

	end = DATA_END(ctx);
	return plain_ipv4(data, end) ? XDP_TX : XDP_REDIRECT;
}
