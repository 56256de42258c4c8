// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Routes by longest prefix: an array sorted from long to short; takes TTL down and sets the MACs.
#include "packet.h"

struct route {
	__u32 prefix;
	__u32 length;
	__u8 mac[ETH_ALEN];
	__u16 port;
};

const volatile struct route routes[8] = {
	{0xc0000202, 32, {2, 0, 0, 0, 1, 1}, 1}, {0xc0000280, 25, {2, 0, 0, 0, 1, 2}, 2},
	{0xc0000200, 24, {2, 0, 0, 0, 1, 3}, 3}, {0x0a010200, 24, {2, 0, 0, 0, 1, 4}, 4},
	{0x0a010000, 16, {2, 0, 0, 0, 1, 5}, 0}, {0x0a000000, 8, {2, 0, 0, 0, 1, 6}, 6},
	{0xc6336400, 22, {2, 0, 0, 0, 1, 7}, 7}, {0x80000000, 1, {2, 0, 0, 0, 1, 8}, 8},
};
__u64 hits[9];

SEC("xdp")
int lpm_router(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = plain_ipv4(data, end);
	__u32 best = 8;

	if (!ip)
		return XDP_PASS;
	if (ip->ttl <= 1)
		return XDP_DROP;
	__u32 to = bpf_ntohl(ip->daddr);

	for (__u32 i = 0; i < 8; i++) {
		__u32 mask = ~0U << (32 - routes[i].length);

		if ((to & mask) == routes[i].prefix) {
			best = i;
			break;
		}
	}
	hits[best % 9]++;
	if (best == 8 || !routes[best & 7].port)
		return XDP_DROP;
	replace16(&ip->check, bpf_htons(ip->ttl << 8), bpf_htons((ip->ttl - 1) << 8));
	ip->ttl--;
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	for (int i = 0; i < ETH_ALEN; i++)
		eth->h_dest[i] = routes[best & 7].mac[i];
	return bpf_redirect(routes[best & 7].port, 0);
}
