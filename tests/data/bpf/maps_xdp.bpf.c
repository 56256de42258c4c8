// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An XDP program with maps of several shapes, data sections and subprograms.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct flow {
	__u32 saddr;
	__u32 daddr;
	__u16 ports[2];
};

struct counters {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow);
	__type(value, struct counters);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 16);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

const volatile __u32 limit = 1500;
__u64 seen;
__u32 first_byte = 7;
static __u32 hidden_count;

static __noinline int account(struct flow *flow, __u64 bytes)
{
	struct counters *entry = bpf_map_lookup_elem(&flows, flow);
	struct counters fresh = { 1, bytes };

	if (!entry)
		return (int)bpf_map_update_elem(&flows, flow, &fresh, BPF_ANY);
	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, bytes);
	return 0;
}

__noinline int classify(__u32 length)
{
	hidden_count++;
	if (length > limit)
		return 2;
	return length > 64 ? 1 : 0;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct flow flow = {};
	__u32 slot;
	struct counters *total;

	if (data + sizeof(*eth) > end)
		return XDP_DROP;
	first_byte = eth->h_dest[0];
	flow.saddr = eth->h_source[0];
	account(&flow, (__u64)(end - data));
	slot = (__u32)classify((__u32)(end - data));
	total = bpf_map_lookup_elem(&totals, &slot);
	if (total)
		total->packets++;
	seen++;
	bpf_printk("seen %llu", seen);
	return eth->h_proto == bpf_htons(ETH_P_ARP) ? XDP_PASS : XDP_TX;
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	return classify(ctx->data_end - ctx->data) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
