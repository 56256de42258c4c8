// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Longest prefix match in a trie that the first packet fills; entries are counted, and removed when worn out.
#include "packet.h"

struct prefix {
	__u32 length;
	__u8 address[4];
};

struct rule {
	__u32 verdict;
	__u32 hits;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, struct rule);
} rules SEC(".maps");

const volatile struct {
	struct prefix prefix;
	__u32 verdict;
} initial[5] = {
	{{0, {0}}, XDP_PASS},		      {{8, {10}}, XDP_DROP},
	{{16, {10, 1}}, XDP_TX},	      {{24, {192, 0, 2}}, XDP_REDIRECT},
	{{32, {192, 0, 2, 200}}, XDP_DROP},
};
__u32 is_filled;

SEC("xdp")
int lpm_filter(struct xdp_md *ctx)
{
	struct iphdr *ip = plain_ipv4(DATA(ctx), DATA_END(ctx));
	struct prefix key = {.length = 32};

	if (!ip)
		return XDP_ABORTED;
	__builtin_memcpy(key.address, &ip->daddr, 4);
	for (int i = 0; i < 5 && !is_filled; i++) {
		struct prefix prefix = initial[i].prefix;
		struct rule rule = {.verdict = initial[i].verdict};

		bpf_map_update_elem(&rules, &prefix, &rule, BPF_NOEXIST);
	}
	is_filled = 1;
	struct rule *rule = bpf_map_lookup_elem(&rules, &key);

	if (!rule)
		return XDP_ABORTED;
	__u32 verdict = rule->verdict;

	if (++rule->hits == 40) {
		key.length = 24;
		key.address[3] = 0;
		if (bpf_map_delete_elem(&rules, &key))
			return XDP_ABORTED;
	}
	return verdict;
}
