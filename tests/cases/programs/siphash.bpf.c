// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// SipHash-2-4 of addresses and ports with a key from .rodata, in 64-bit arithmetic; spreads flows.
#include "packet.h"

const volatile __u64 key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
__u64 last;
__u32 spread[4];

static __always_inline __u64 rotate(__u64 x, int by)
{
	return x << by | x >> (64 - by);
}

static __always_inline void round(__u64 v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static __always_inline __u64 siphash(const __u64 *words, int count)
{
	__u64 v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
		      key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
	__u64 tail = (__u64)(count * 8) << 56;

#pragma unroll
	for (int i = 0; i <= count; i++) {
		__u64 word = i < count ? words[i] : tail;

		v[3] ^= word;
		round(v);
		round(v);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
#pragma unroll
	for (int i = 0; i < 4; i++)
		round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

SEC("xdp")
int siphash_flow(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	__u64 words[2];

	if (!ip)
		return XDP_PASS;
	__u32 *ports = (void *)(ip + 1);

	words[0] = (__u64)ip->daddr << 32 | ip->saddr;
	words[1] = (__u64)ip->protocol << 32;
	if (FITS(ports, end))
		words[1] |= *ports;
	last = siphash(words, 2);
	spread[last & 3]++;
	return last & 3;
}
