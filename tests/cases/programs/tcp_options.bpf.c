// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reads MSS, window scale, SACK and timestamps of TCP into a record of bit fields by source port.
#include "packet.h"

struct offer {
	__u32 mss : 16;
	__u32 scale : 4;
	__u32 has_sack : 1;
	__u32 has_stamp : 1;
	__u32 count : 10;
	__u32 stamp;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __u16);
	__type(value, struct offer);
} offers SEC(".maps");

struct walk {
	struct xdp_md *ctx;
	__u32 at, last;
	struct offer offer;
	__u32 is_broken;
};

static long take(__u32 index, struct walk *walk)
{
	__u8 option[8] = {};

	if (walk->at >= walk->last || bpf_xdp_load_bytes(walk->ctx, walk->at, option, 1) || option[0] == 0)
		return 1;
	if (option[0] == 1) {
		walk->at++;
		return 0;
	}
	if (bpf_xdp_load_bytes(walk->ctx, walk->at, option, 2) || option[1] < 2) {
		walk->is_broken = 1;
		return 1;
	}
	__u32 size = option[1] - 2;

	if (size > 6)
		size = 6;
	if (size && bpf_xdp_load_bytes(walk->ctx, walk->at + 2, option + 2, size))
		return 1;
	if (option[0] == 2)
		walk->offer.mss = option[2] << 8 | option[3];
	if (option[0] == 3)
		walk->offer.scale = option[2];
	if (option[0] == 4)
		walk->offer.has_sack = 1;
	if (option[0] == 8) {
		walk->offer.has_stamp = 1;
		walk->offer.stamp = (__u32)option[2] << 24 | option[3] << 16 | option[4] << 8 |
				    option[5];
	}
	walk->offer.count++;
	walk->at += option[1];
	return 0;
}

SEC("xdp")
int tcp_options(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);
	struct walk walk = {.ctx = ctx};

	if (!ip || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	struct tcphdr *tcp = (void *)(ip + 1);

	if (!FITS(tcp, end) || tcp->doff < 5)
		return XDP_ABORTED;
	__u16 port = tcp->source;

	walk.at = sizeof(struct ethhdr) + sizeof(*ip) + sizeof(*tcp);
	walk.last = sizeof(struct ethhdr) + sizeof(*ip) + tcp->doff * 4;
	bpf_loop(40, take, &walk, 0);
	bpf_map_update_elem(&offers, &port, &walk.offer, BPF_ANY);
	return walk.is_broken ? XDP_DROP : walk.offer.mss ? XDP_TX : XDP_PASS;
}
