// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A bucket of bytes per source address. One that has run dry has a timer, which fills it up step by step.
#include "packet.h"

#define BURST 400
#define STEP 100
#define CLOCK_MONOTONIC 1

struct bucket {
	__u64 tokens;
	struct bpf_timer timer;
	__u32 passed, dropped;
	__u32 steps;
	__u32 is_filling;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

/* Between two steps; an hour, when nobody says otherwise. */
__u64 interval_ns = 3600000000000;

__u64 all_steps;

static int fill(void *map, __be32 *source, struct bucket *bucket)
{
	bucket->tokens += STEP;
	bucket->steps++;
	if (bucket->tokens < BURST) {
		bpf_timer_start(&bucket->timer, interval_ns, 0);
	} else {
		bucket->tokens = BURST;
		bucket->is_filling = 0;
	}
	__sync_fetch_and_add(&all_steps, 1);
	return 0;
}

static __always_inline struct bucket *new_bucket(__be32 *source)
{
	struct bucket fresh = {.tokens = BURST};
	struct bucket *bucket;

	bpf_map_update_elem(&buckets, source, &fresh, BPF_NOEXIST);
	bucket = bpf_map_lookup_elem(&buckets, source);
	if (!bucket || bpf_timer_init(&bucket->timer, &buckets, CLOCK_MONOTONIC) ||
	    bpf_timer_set_callback(&bucket->timer, fill))
		return NULL;
	return bucket;
}

SEC("xdp")
int refilled_bucket(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);
	__u64 cost = end - data;
	struct bucket *bucket;
	__be32 source;

	if (!ip)
		return XDP_PASS;
	source = ip->saddr;
	bucket = bpf_map_lookup_elem(&buckets, &source);
	if (!bucket)
		bucket = new_bucket(&source);
	if (!bucket)
		return XDP_ABORTED;
	if (bucket->tokens >= cost) {
		bucket->tokens -= cost;
		bucket->passed++;
		return XDP_PASS;
	}
	bucket->dropped++;
	if (!bucket->is_filling) {
		bucket->is_filling = 1;
		bpf_timer_start(&bucket->timer, interval_ns, 0);
	}
	return XDP_DROP;
}
