// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A window of sequence numbers under a spin lock, against replay: old and repeated ones are dropped.
#include "packet.h"

struct window {
	struct bpf_spin_lock lock;
	__u32 highest;
	__u64 seen;
	__u32 accepted, refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct window);
} windows SEC(".maps");

SEC("xdp")
int locked_window(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);
	int is_new = 0;

	if (!ip)
		return XDP_PASS;
	struct ports *ports = (void *)(ip + 1);

	if (!FITS(ports, end))
		return XDP_ABORTED;
	__u32 number = bpf_ntohs(ports->source), slot = ip->protocol & 3;
	struct window *window = bpf_map_lookup_elem(&windows, &slot);

	if (!window)
		return XDP_ABORTED;
	bpf_spin_lock(&window->lock);
	if (number > window->highest) {
		__u32 step = number - window->highest;

		window->seen = step < 64 ? window->seen << step | 1 : 1;
		window->highest = number;
		is_new = 1;
	} else if (window->highest - number < 64) {
		__u64 bit = 1ULL << (window->highest - number);

		is_new = !(window->seen & bit);
		window->seen |= bit;
	}
	if (is_new)
		window->accepted++;
	else
		window->refused++;
	bpf_spin_unlock(&window->lock);
	return is_new ? XDP_TX : XDP_DROP;
}
