// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Bob Jenkins' lookup3 over headers of either IP version, in subprograms that take their state by reference.
#include "packet.h"

struct state {
	__u32 a, b, c;
};

__u32 sums[16];

static __always_inline __u32 rotate(__u32 x, int by)
{
	return x << by | x >> (32 - by);
}

static __noinline int stir(struct state *s)
{
	if (!s)
		return -1;
	s->a = (s->a - s->c) ^ rotate(s->c, 4);
	s->c += s->b;
	s->b = (s->b - s->a) ^ rotate(s->a, 6);
	s->a += s->c;
	s->c = (s->c - s->b) ^ rotate(s->b, 8);
	s->b += s->a;
	s->a = (s->a - s->c) ^ rotate(s->c, 16);
	s->c += s->b;
	s->b = (s->b - s->a) ^ rotate(s->a, 19);
	s->a += s->c;
	s->c = (s->c - s->b) ^ rotate(s->b, 4);
	s->b += s->a;
	return 0;
}

static __noinline __u32 finish(struct state *s)
{
	if (!s)
		return 0;
	s->c = (s->c ^ s->b) - rotate(s->b, 14);
	s->a = (s->a ^ s->c) - rotate(s->c, 11);
	s->b = (s->b ^ s->a) - rotate(s->a, 25);
	s->c = (s->c ^ s->b) - rotate(s->b, 16);
	s->a = (s->a ^ s->c) - rotate(s->c, 4);
	s->b = (s->b ^ s->a) - rotate(s->a, 14);
	s->c = (s->c ^ s->b) - rotate(s->b, 24);
	return s->c;
}

SEC("xdp")
int jhash_subprograms(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);
	struct ipv6hdr *ip6 = plain_ipv6(data, end);
	struct state state = {0xdeadbeef, 0xdeadbeef, 0xdeadbeef};

	if (ip) {
		state.a += ip->saddr;
		state.b += ip->daddr;
		state.c += ip->protocol;
	} else if (ip6) {
		for (int i = 0; i < 2; i++) {
			state.a += ip6->saddr.in6_u.u6_addr32[2 * i];
			state.b += ip6->daddr.in6_u.u6_addr32[2 * i];
			state.c += ip6->saddr.in6_u.u6_addr32[2 * i + 1] ^ ip6->daddr.in6_u.u6_addr32[2 * i + 1];
			stir(&state);
		}
	} else {
		return XDP_DROP;
	}
	__u32 hash = finish(&state);

	sums[hash >> 28] = hash;
	return hash & 0x10 ? XDP_PASS : XDP_TX;
}
