// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counts IPv4 flows in a hash, protocols in a per-CPU array and talkers in a per-CPU hash.
#include "packet.h"

struct tuple {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u32 proto;
};

struct totals {
	__u64 packets;
	__u64 bytes;
	__u32 smallest;
	__u32 largest;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct tuple);
	__type(value, struct totals);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct totals);
} protocols SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, __u64);
} talkers SEC(".maps");

static __always_inline void add(struct totals *totals, __u32 length)
{
	totals->packets++;
	totals->bytes += length;
	if (length < totals->smallest || totals->packets == 1)
		totals->smallest = length;
	if (length > totals->largest)
		totals->largest = length;
}

SEC("xdp")
int flow_counters(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);
	__u32 length = end - data;

	if (!ip)
		return XDP_PASS;
	struct tuple key = {ip->saddr, ip->daddr, 0, 0, ip->protocol};
	struct ports *ports = (void *)(ip + 1);

	if ((ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) && FITS(ports, end)) {
		key.sport = ports->source;
		key.dport = ports->dest;
	}
	__u32 proto = ip->protocol;
	struct totals *totals = bpf_map_lookup_elem(&protocols, &proto);
	__u64 one = 1, *count;

	if (totals)
		add(totals, length);
	count = bpf_map_lookup_elem(&talkers, &key.saddr);
	if (count)
		++*count;
	else
		bpf_map_update_elem(&talkers, &key.saddr, &one, BPF_NOEXIST);
	totals = bpf_map_lookup_elem(&flows, &key);
	if (totals) {
		add(totals, length);
		return XDP_TX;
	}
	struct totals fresh = {1, length, length, length};

	return bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST) ? XDP_DROP : XDP_REDIRECT;
}
