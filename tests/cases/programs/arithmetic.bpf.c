// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// 64-bit division, remainder, shifts and sign extension over words of the frame; all of it is summed up.
#include "packet.h"

__u64 sums[8];
__s64 signed_sums[4];

SEC("xdp")
int arithmetic(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if (!FITS(ip, end))
		return XDP_ABORTED;
	__u64 a = *(__u64 *)data, b = *(__u64 *)ip;
	__u32 c = ip->saddr, d = ip->daddr;
	__s8 small = ip->ttl;
	__s16 medium = ip->check;
	__s32 large = c;

	sums[0] += a / (b | 1);
	sums[1] += a % (d | 1);
	sums[2] += a / c + a % b;
	sums[3] += c / (d & 0xff) + c % (d & 0xf0);
	sums[4] ^= a << (d & 63) | b >> (c & 63);
	sums[5] ^= (__u32)(c << (a & 31)) | (__u64)(d >> (b & 31)) << 32;
	sums[6] += a * b + (__u64)c * d;
	sums[7] += bpf_be64_to_cpu(a) - bpf_ntohl(c);
	signed_sums[0] += small;
	signed_sums[1] += (__s64)medium * small;
	signed_sums[2] += (__s64)large >> (small & 31);
	signed_sums[3] += (__s64)a >> (d & 63);
	if ((__s64)b < signed_sums[3])
		return small < 0 ? XDP_DROP : XDP_PASS;
	return (__s32)d > large ? XDP_TX : XDP_REDIRECT;
}
