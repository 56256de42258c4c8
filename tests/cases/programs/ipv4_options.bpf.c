// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Walks the options of IPv4, records the last one of each kind, drops source routes and malformed lists.
#include "packet.h"

struct seen {
	__u32 count;
	__u8 length;
	__u8 at;
	__u16 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, struct seen);
} options SEC(".maps");

SEC("xdp")
int ipv4_options(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if (!FITS(ip, end) || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	__u32 length = ip->ihl * 4;

	if (length < sizeof(*ip))
		return XDP_ABORTED;
	__u32 at = sizeof(*ip);

	for (int i = 0; i < 40 && at < length; i++) {
		__u8 *here = (__u8 *)ip + (at & 63);

		if ((void *)(here + 1) > end)
			return XDP_DROP;
		__u8 kind = *here, size = 1;

		if (kind == 0)
			break;
		if (kind != 1) {
			if ((void *)(here + 2) > end)
				return XDP_DROP;
			size = here[1];
			if (size < 2 || at + size > length)
				return XDP_DROP;
		}
		__u32 number = kind & 31;
		struct seen *entry = bpf_map_lookup_elem(&options, &number);

		if (entry) {
			entry->count++;
			entry->length = size;
			entry->at = at;
		}
		if (kind == 131 || kind == 137)
			return XDP_DROP;
		at += size;
	}
	return length > sizeof(*ip) ? XDP_TX : XDP_PASS;
}
