// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Follows the extension headers of IPv6 to the transport protocol; a fragment or a long chain is dropped.
#include "packet.h"

struct chain {
	__u8 headers[8];
	__u32 length;
	__u32 hits;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct chain);
} chains SEC(".maps");

SEC("xdp")
int ipv6_extensions(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct ipv6hdr *ip = plain_ipv6(DATA(ctx), end);
	struct chain seen = {};

	if (!ip)
		return XDP_PASS;
	__u8 next = ip->nexthdr;
	__u32 at = sizeof(*ip);

	for (int i = 0; i < 8; i++) {
		seen.headers[i & 7] = next;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			break;
		if (at > 1000)
			return XDP_DROP;
		__u8 *head = (void *)ip + at;

		if ((void *)(head + 8) > end)
			return XDP_ABORTED;
		at += next == IPPROTO_FRAGMENT ? 8 : (head[1] + 1) * 8;
		if (next == IPPROTO_FRAGMENT && ((head[2] << 8 | head[3]) & 0xfff9))
			return XDP_DROP;
		next = head[0];
	}
	seen.length = at;
	__u64 key = *(__u64 *)seen.headers;
	struct chain *old = bpf_map_lookup_elem(&chains, &key);

	seen.hits = old ? old->hits + 1 : 1;
	bpf_map_update_elem(&chains, &key, &seen, BPF_ANY);
	return at > sizeof(*ip) ? XDP_TX : next == IPPROTO_TCP ? XDP_PASS : XDP_DROP;
}
