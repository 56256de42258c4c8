// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Access list by intersecting bitmaps of rules: source, port and protocol; the lowest bit decides.
#include "packet.h"

const volatile __u64 by_source[4] = {0xf0f3, 0x0ff4, 0x3333, 0xaaa8};
const volatile __u64 by_proto[3] = {0x00ff, 0x5ff5, 0xc3cc};
const volatile __u64 is_allowed = 0x9a5c;
__u64 matched[64];

static __always_inline __u32 lowest(__u64 bits)
{
	__u32 at = 0;

#pragma unroll
	for (int step = 32; step; step >>= 1) {
		if (!(bits & ((1ULL << step) - 1))) {
			bits >>= step;
			at += step;
		}
	}
	return at;
}

SEC("xdp")
int acl_bitmap(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);

	if (!ip)
		return XDP_PASS;
	__u64 rules = by_source[bpf_ntohl(ip->saddr) & 3];

	rules &= by_proto[ip->protocol == IPPROTO_TCP ? 0 : ip->protocol == IPPROTO_UDP ? 1 : 2];
	struct ports *ports = (void *)(ip + 1);

	if (FITS(ports, end))
		rules &= ~(1ULL << (bpf_ntohs(ports->dest) & 15));
	if (!rules)
		return XDP_ABORTED;
	__u32 rule = lowest(rules);

	__sync_fetch_and_add(&matched[rule & 63], 1);
	return is_allowed & (1ULL << rule) ? XDP_TX : XDP_DROP;
}
