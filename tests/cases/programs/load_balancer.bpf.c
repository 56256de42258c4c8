// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Consistent hashing: flows pick a slot of a table of back ends, which sets the destination address and MAC.
#include "packet.h"

#define SLOTS 61

struct backend {
	__be32 address;
	__u8 mac[ETH_ALEN];
	__u16 weight;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} table SEC(".maps");

__u32 is_filled;

/* The back end with the highest score for a slot gets it: others keep theirs when one comes or goes. */
static long claim(__u32 slot, void *unused)
{
	__u32 best = 0, who = 0;

#pragma unroll
	for (__u32 i = 0; i < 8; i++) {
		__u32 score = mix(slot, i * 0x01000193 + 7);

		who = score >= best ? i : who;
		best = score >= best ? score : best;
	}
	bpf_map_update_elem(&table, &slot, &who, BPF_ANY);
	return 0;
}

SEC("xdp")
int load_balancer(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = plain_ipv4(data, end);

	if (!ip || (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
		return XDP_PASS;
	struct ports *ports = (void *)(ip + 1);

	if (!FITS(ports, end))
		return XDP_DROP;
	if (!is_filled) {
		bpf_loop(SLOTS, claim, NULL, 0);
		is_filled = 1;
	}
	__u32 slot = mix(mix(ip->saddr, ip->daddr), *(__u32 *)ports) % SLOTS;
	__u32 *who = bpf_map_lookup_elem(&table, &slot);

	if (!who)
		return XDP_ABORTED;
	__u32 index = *who;
	struct backend *backend = bpf_map_lookup_elem(&backends, &index);

	if (!backend)
		return XDP_ABORTED;
	if (!backend->address) {
		backend->address = bpf_htonl(0x0a640000 + index);
		backend->mac[0] = 2;
		backend->mac[5] = index;
	}
	__sync_fetch_and_add(&backend->packets, 1);
	replace32(&ip->check, ip->daddr, backend->address);
	ip->daddr = backend->address;
	__builtin_memcpy(eth->h_dest, backend->mac, ETH_ALEN);
	return XDP_TX;
}
