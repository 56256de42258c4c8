// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A token bucket per source address; time is a number in a map that every packet moves on by its length.
#include "packet.h"

#define BURST 400
#define SHIFT 2

struct bucket {
	__u64 tokens;
	__u64 last;
	__u32 passed;
	__u32 dropped;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} clock SEC(".maps");

SEC("xdp")
int token_bucket(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);
	__u32 zero = 0, cost = end - data;
	__u64 *now = bpf_map_lookup_elem(&clock, &zero);

	if (!now || !ip)
		return XDP_PASS;
	*now += cost;
	__be32 source = ip->saddr;
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &source);

	if (!bucket) {
		struct bucket fresh = {.tokens = BURST, .last = *now};

		bpf_map_update_elem(&buckets, &source, &fresh, BPF_ANY);
		bucket = bpf_map_lookup_elem(&buckets, &source);
		if (!bucket)
			return XDP_ABORTED;
	}
	bucket->tokens += (*now - bucket->last) >> SHIFT;
	if (bucket->tokens > BURST)
		bucket->tokens = BURST;
	bucket->last = *now;
	if (bucket->tokens < cost) {
		bucket->dropped++;
		return XDP_DROP;
	}
	bucket->tokens -= cost;
	bucket->passed++;
	return XDP_PASS;
}
