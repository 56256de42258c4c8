// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Ages flows by packets: every sixteenth packet walks the hash and deletes what none of the last ones used.
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} last_use SEC(".maps");

struct bpf_map;

__u32 now, swept;

static long sweep(struct bpf_map *map, __u32 *key, __u32 *used, __u32 *limit)
{
	if (*used + *limit < now) {
		bpf_map_delete_elem(map, key);
		swept++;
	}
	return 0;
}

SEC("xdp")
int idle_sweeper(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	__u32 limit = 20;

	if (!ip)
		return XDP_PASS;
	__u32 *ports = (void *)(ip + 1);

	if (!FITS(ports, end))
		return XDP_DROP;
	__u32 flow = ip->saddr ^ ip->daddr ^ *ports;

	now++;
	bpf_map_update_elem(&last_use, &flow, &now, BPF_ANY);
	if (now % 16)
		return XDP_TX;
	long walked = bpf_for_each_map_elem(&last_use, sweep, &limit, 0);

	return walked > 8 ? XDP_REDIRECT : walked < 0 ? XDP_ABORTED : XDP_PASS;
}
