// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Puts TCP frames into VXLAN, network from the last byte of the address, outer port from a flow hash.
#include "packet.h"

struct outer {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	__be32 flags;
	__be32 network;
} __attribute__((packed));

__u16 next_id;

SEC("xdp")
int vxlan_encap(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);
	__u32 length = end - data;

	if (!ip || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	__u32 hash = mix(ip->saddr, ip->daddr);
	__u8 network = bpf_ntohl(ip->daddr);
	__u8 tos = ip->tos;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct outer)))
		return XDP_ABORTED;
	struct outer *outer = DATA(ctx);

	end = DATA_END(ctx);
	if (!FITS(outer, end))
		return XDP_ABORTED;
	__builtin_memset(outer, 0, sizeof(*outer));
	outer->eth.h_dest[0] = 2;
	outer->eth.h_dest[5] = network;
	outer->eth.h_source[0] = 2;
	outer->eth.h_proto = bpf_htons(ETH_P_IP);
	outer->ip.version = 4;
	outer->ip.ihl = 5;
	outer->ip.tos = tos;
	outer->ip.ttl = 64;
	outer->ip.id = bpf_htons(next_id++);
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.tot_len = bpf_htons(length + sizeof(*outer) - sizeof(struct ethhdr));
	outer->ip.saddr = bpf_htonl(0x0a000001);
	outer->ip.daddr = bpf_htonl(0x0a000002);
	outer->ip.check = ipv4_check((void *)outer + sizeof(struct ethhdr));
	outer->udp.source = bpf_htons(49152 + (hash & 0x3fff));
	outer->udp.dest = bpf_htons(4789);
	outer->udp.len = bpf_htons(length + 16);
	outer->flags = bpf_htonl(0x08000000);
	outer->network = bpf_htonl(network << 8);
	return XDP_TX;
}
