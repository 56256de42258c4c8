// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Writes the first sixteen bytes of UDP payloads into a map as hexadecimal text, by source port.
#include "packet.h"

struct line {
	char text[36];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u16);
	__type(value, struct line);
} lines SEC(".maps");

const char digits[] = "0123456789abcdef";

SEC("xdp")
int hex_payload(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	struct line line = {};
	int i;

	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	struct udphdr *udp = (void *)(ip + 1);
	__u8 *byte = (void *)(udp + 1);

	if ((void *)byte > end)
		return XDP_DROP;
	for (i = 0; i < 16; i++) {
		if ((void *)(byte + i + 1) > end)
			break;
		line.text[2 * i] = digits[byte[i] >> 4];
		line.text[2 * i + 1] = digits[byte[i] & 15];
	}
	line.text[35] = i;
	__u16 port = bpf_ntohs(udp->source);

	bpf_map_update_elem(&lines, &port, &line, BPF_ANY);
	return i == 16 ? XDP_TX : XDP_REDIRECT;
}
