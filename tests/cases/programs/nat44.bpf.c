// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Source NAT of TCP and UDP: a port per flow from a counter, both directions in one hash.
#include "packet.h"

struct flow {
	__be32 saddr, daddr;
	struct ports ports;
	__u32 proto;
};

struct rewrite {
	__be32 address;
	__be16 port;
	__u16 is_reply;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct flow);
	__type(value, struct rewrite);
} flows SEC(".maps");

const volatile __be32 outside = 0x017100cb; /* 203.0.113.1 */
__u32 next_port = 40000;

static __always_inline int add_flow(const struct flow *flow, struct rewrite *to)
{
	struct flow back = {
		.saddr = flow->daddr,
		.daddr = outside,
		.proto = flow->proto,
	};
	struct rewrite undo = {
		.address = flow->saddr,
		.port = flow->ports.source,
		.is_reply = 1,
	};

	to->address = outside;
	to->port = bpf_htons(next_port++);
	to->is_reply = 0;
	back.ports.source = flow->ports.dest;
	back.ports.dest = to->port;
	if (bpf_map_update_elem(&flows, flow, to, BPF_NOEXIST))
		return -1;
	return bpf_map_update_elem(&flows, &back, &undo, BPF_NOEXIST);
}

SEC("xdp")
int nat44(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	struct rewrite to, *known;
	__u16 *check;

	if (!ip || (ip->frag_off & bpf_htons(0x3fff)))
		return XDP_PASS;
	struct tcphdr *tcp = (void *)(ip + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if (ip->protocol == IPPROTO_TCP && FITS(tcp, end))
		check = &tcp->check;
	else if (ip->protocol == IPPROTO_UDP && FITS(udp, end))
		check = &udp->check;
	else
		return XDP_DROP;
	struct ports *ports = (void *)(ip + 1);
	struct flow flow = {ip->saddr, ip->daddr, *ports, ip->protocol};

	known = bpf_map_lookup_elem(&flows, &flow);
	if (known)
		to = *known;
	else if (add_flow(&flow, &to))
		return XDP_ABORTED;
	__be32 *address = to.is_reply ? &ip->daddr : &ip->saddr;
	__be16 *port = to.is_reply ? &ports->dest : &ports->source;

	if (ip->protocol == IPPROTO_TCP || *check) {
		replace32(check, *address, to.address);
		replace16(check, *port, to.port);
	}
	replace32(&ip->check, *address, to.address);
	*address = to.address;
	*port = to.port;
	return XDP_TX;
}
