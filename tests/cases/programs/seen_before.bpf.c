// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A bloom filter of flows: the first packet of a flow passes, later ones are sent back.
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 4096);
	__uint(map_extra, 3);
	__uint(map_flags, BPF_F_ZERO_SEED);
	__type(value, __u64);
} seen SEC(".maps");

__u32 known, added;

SEC("xdp")
int seen_before(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);

	if (!ip)
		return XDP_PASS;
	__u32 *ports = (void *)(ip + 1);

	if (!FITS(ports, end))
		return XDP_DROP;
	__u64 flow = (__u64)(ip->saddr ^ ip->daddr) << 32 | *ports;

	if (!bpf_map_peek_elem(&seen, &flow)) {
		known++;
		return XDP_TX;
	}
	if (bpf_map_push_elem(&seen, &flow, BPF_ANY))
		return XDP_ABORTED;
	added++;
	return XDP_PASS;
}
