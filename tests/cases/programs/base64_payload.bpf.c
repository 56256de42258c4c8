// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Turns the TCP payload of a packet into base64 in place, three bytes to four, growing the tail for it.
#include "packet.h"

#define GROUPS 8

const volatile char letters[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
__u32 encoded;

SEC("xdp")
int base64_payload(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	__u8 plain[GROUPS * 3], text[GROUPS * 4];
	__u32 at = sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr);

	if (!ip || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	if (bpf_xdp_load_bytes(ctx, at, plain, sizeof(plain)))
		return XDP_DROP;
#pragma unroll
	for (int i = 0; i < GROUPS; i++) {
		__u32 bits = plain[3 * i] << 16 | plain[3 * i + 1] << 8 | plain[3 * i + 2];

		text[4 * i] = letters[bits >> 18 & 63];
		text[4 * i + 1] = letters[bits >> 12 & 63];
		text[4 * i + 2] = letters[bits >> 6 & 63];
		text[4 * i + 3] = letters[bits & 63];
	}
	if (bpf_xdp_adjust_tail(ctx, GROUPS))
		return XDP_ABORTED;
	if (bpf_xdp_store_bytes(ctx, at, text, sizeof(text)))
		return XDP_ABORTED;
	encoded += GROUPS;
	return XDP_TX;
}
