// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One counter table per tenant in a map of maps, found by network; a tenant without a table is dropped.
#include "packet.h"

struct table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct table office SEC(".maps"), lab SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct table);
} tenants SEC(".maps") = {
	.values = {
		[0] = &office,
		[2] = &lab,
	},
};

SEC("xdp")
int tenants_xdp(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);

	if (!ip)
		return XDP_PASS;
	__u32 who = bpf_ntohl(ip->daddr) >> 24 & 3;
	__u32 what = ip->protocol & 3;
	void *table = bpf_map_lookup_elem(&tenants, &who);

	if (!table)
		return XDP_DROP;
	__u64 *count = bpf_map_lookup_elem(table, &what);

	if (!count)
		return XDP_ABORTED;
	*count += end - data;
	return *count & 1 ? XDP_TX : XDP_REDIRECT;
}
