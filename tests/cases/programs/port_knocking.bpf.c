// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Opens a port for a source that has sent UDP to a sequence of lengths; a small state machine in a hash.
#include "packet.h"

enum state { CLOSED, FIRST, SECOND, OPEN };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, enum state);
} doors SEC(".maps");

static __noinline enum state step(enum state state, __u32 knock)
{
	switch (state) {
	case CLOSED:
		return knock == 53 ? FIRST : CLOSED;
	case FIRST:
		return knock == 124 ? SECOND : knock == 53 ? FIRST : CLOSED;
	case SECOND:
		return knock == 53 || knock == 1 ? OPEN : CLOSED;
	default:
		return knock == 80 ? CLOSED : OPEN;
	}
}

SEC("xdp")
int port_knocking(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);

	if (!ip || (ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_TCP))
		return XDP_PASS;
	struct ports *ports = (void *)(ip + 1);

	if (!FITS(ports, end))
		return XDP_ABORTED;
	__be32 source = ip->saddr & bpf_htonl(0xffffff00);
	enum state *old = bpf_map_lookup_elem(&doors, &source);
	enum state now = step(old ? *old : CLOSED, bpf_ntohs(ports->dest));

	if (now == CLOSED)
		bpf_map_delete_elem(&doors, &source);
	else
		bpf_map_update_elem(&doors, &source, &now, old ? BPF_EXIST : BPF_NOEXIST);
	return now == OPEN ? XDP_TX : XDP_DROP;
}
