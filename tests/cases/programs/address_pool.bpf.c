// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Hands out addresses from a queue and takes them back on a stack, which serves before the queue.
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8);
	__type(value, __u32);
} fresh SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u32);
} returned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u32);
} leases SEC(".maps");

__u32 next_address = 0x0a000001;

SEC("xdp")
int address_pool(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	__u32 address = 0;

	if (!ip)
		return XDP_PASS;
	struct ports *ports = (void *)(ip + 1);

	if (!FITS(ports, end))
		return XDP_ABORTED;
	__u64 key = (__u64)ip->saddr << 16 | ports->source;
	__u32 *lease = bpf_map_lookup_elem(&leases, &key);

	if (lease) {
		__u32 old = *lease;

		bpf_map_delete_elem(&leases, &key);
		if (bpf_map_push_elem(&returned, &old, 0))
			bpf_map_push_elem(&returned, &old, BPF_EXIST);
		return XDP_DROP;
	}
	for (int i = 0; i < 8 && (next_address & 7); i++) {
		__u32 made = next_address++;

		if (bpf_map_push_elem(&fresh, &made, 0))
			break;
		if (bpf_map_peek_elem(&fresh, &made))
			return XDP_ABORTED;
	}
	if (bpf_map_pop_elem(&returned, &address) && bpf_map_pop_elem(&fresh, &address))
		next_address++;
	if (!address)
		return XDP_REDIRECT;
	bpf_map_update_elem(&leases, &key, &address, BPF_ANY);
	return XDP_TX;
}
