// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Remembers the ports of first fragments so that later ones get the same verdict; unknown ones are dropped.
#include "packet.h"

struct fragment {
	__be32 saddr, daddr;
	__be16 id;
	__u16 proto;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32);
	__type(key, struct fragment);
	__type(value, struct ports);
} fragments SEC(".maps");

SEC("xdp")
int fragment_tracker(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	struct ports *ports, *known;

	if (!ip)
		return XDP_PASS;
	struct fragment key = {ip->saddr, ip->daddr, ip->id, 0};
	__u16 offset = bpf_ntohs(ip->frag_off);

	if (offset & 0x1fff) {
		known = bpf_map_lookup_elem(&fragments, &key);
		if (!known)
			return XDP_DROP;
		__be16 port = known->dest;

		if (!(offset & 0x2000))
			bpf_map_delete_elem(&fragments, &key);
		return port & bpf_htons(1) ? XDP_TX : XDP_REDIRECT;
	}
	ports = (void *)(ip + 1);
	if (!FITS(ports, end))
		return XDP_ABORTED;
	if (offset & 0x2000)
		bpf_map_update_elem(&fragments, &key, ports, BPF_ANY);
	return ports->dest & bpf_htons(1) ? XDP_TX : XDP_REDIRECT;
}
