// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Filters IPv6 by prefixes up to 128 bits, compared as two words in host order, and by ranges of addresses.
#include "packet.h"

struct wide {
	__u64 high, low;
};

const volatile struct {
	struct wide address;
	__u32 length;
	__u32 verdict;
} prefixes[4] = {
	{{0x20010db800090000, 0}, 48, XDP_TX},
	{{0x20010db800000000, 2}, 128, XDP_PASS},
	{{0xff02000000000000, 0}, 64, XDP_REDIRECT},
	{{0, 0}, 96, XDP_ABORTED},
};
__u64 compared[4];

static __always_inline struct wide load(const struct in6_addr *address)
{
	struct wide wide = {
		(__u64)bpf_ntohl(address->in6_u.u6_addr32[0]) << 32 | bpf_ntohl(address->in6_u.u6_addr32[1]),
		(__u64)bpf_ntohl(address->in6_u.u6_addr32[2]) << 32 | bpf_ntohl(address->in6_u.u6_addr32[3]),
	};

	return wide;
}

static __always_inline int compare(struct wide a, struct wide b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return a.low < b.low ? -1 : a.low > b.low;
}

SEC("xdp")
int ipv6_compare(struct xdp_md *ctx)
{
	struct ipv6hdr *ip = plain_ipv6(DATA(ctx), DATA_END(ctx));

	if (!ip)
		return XDP_DROP;
	struct wide from = load(&ip->saddr), to = load(&ip->daddr);
	int order = compare(from, to);

	compared[(order + 1) & 3]++;
	for (int i = 0; i < 4; i++) {
		__u32 length = prefixes[i].length;
		__u64 high = length >= 64 ? ~0ULL : ~0ULL << (64 - length);
		__u64 low = length <= 64 ? 0 : ~0ULL << (128 - length);

		if ((to.high & high) == prefixes[i].address.high && (to.low & low) == prefixes[i].address.low)
			return prefixes[i].verdict;
	}
	return order < 0 ? XDP_PASS : XDP_DROP;
}
