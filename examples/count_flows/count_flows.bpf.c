// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counts packets and bytes per IPv4 5-tuple. Everything passes; fragments and other protocols count with ports 0.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct flow_key {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 zero[3]; /* padding by name: a key must have no unset byte */
};

struct flow_value {
	__u64 packets;
	__u64 bytes;
};

struct ports {
	__be16 source;
	__be16 dest;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_key);
	__type(value, struct flow_value);
} flows SEC(".maps");

SEC("xdp")
int count_flows(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct flow_value first = {.packets = 1}, *value;
	struct flow_key key = {};

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;

	key.saddr = ip->saddr;
	key.daddr = ip->daddr;
	key.protocol = ip->protocol;
	if ((ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) &&
	    !(ip->frag_off & bpf_htons(0x3fff))) {
		struct ports *ports = (void *)ip + ip->ihl * 4;

		if ((void *)(ports + 1) <= end) {
			key.sport = ports->source;
			key.dport = ports->dest;
		}
	}

	value = bpf_map_lookup_elem(&flows, &key);
	if (value) {
		__sync_fetch_and_add(&value->packets, 1);
		__sync_fetch_and_add(&value->bytes, end - (void *)eth);
		return XDP_PASS;
	}
	first.bytes = end - (void *)eth;
	bpf_map_update_elem(&flows, &key, &first, BPF_NOEXIST);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
