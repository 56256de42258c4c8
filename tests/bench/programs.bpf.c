// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The interpreter benchmark's programs. One source, two builds: for the vm with -target bpf, and natively with
// MIMICSH_NATIVE, where the context holds real pointers and map look-ups call the vm's map.
#include "programs.h"

SEC("xdp")
int bench_trivial(struct bench_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int bench_parse(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip;
	struct udphdr *udp;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return XDP_DROP;
	if (ip->protocol != IPPROTO_UDP || ip->ttl < 2)
		return XDP_PASS;
	udp = (void *)ip + ip->ihl * 4;
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	if (udp->dest == bpf_htons(53))
		return XDP_DROP;
	return udp->source == udp->dest ? XDP_TX : XDP_PASS;
}

SEC("xdp")
int bench_array_map(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	struct counter *count;
	__u32 key;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	key = eth->h_source[5];
	count = LOOKUP(bench_array, &key);
	if (count) {
		count->packets += 1;
		count->bytes += end - data;
	}
	return XDP_PASS;
}

SEC("xdp")
int bench_hash_map(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	struct flow flow = {};
	struct counter *count;

	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	flow.saddr = ip->saddr;
	flow.daddr = ip->daddr;
	flow.sport = udp->source;
	flow.dport = udp->dest;
	flow.proto = ip->protocol;
	count = LOOKUP(bench_hash, &flow);
	if (!count)
		return XDP_DROP;
	count->packets += 1;
	count->bytes += end - data;
	return XDP_PASS;
}

static __always_inline __u32 sum_bytes(__u16 *at, void *end, int words)
{
	__u32 sum = 0;

	for (int i = 0; i < words; i++) {
		if ((void *)(at + 1) > end)
			break;
		sum += *at++;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

SEC("xdp")
int bench_checksum_64(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);

	return sum_bytes(data, end, 32) == 0xffff ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int bench_checksum_1500(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);

	return sum_bytes(data, end, 750) == 0xffff ? XDP_PASS : XDP_DROP;
}

static __always_inline __u16 adjust(__u16 check, __u16 before, __u16 after)
{
	__u32 sum = (__u16)~check + (__u16)~before + after;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int bench_rewrite(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct udphdr *udp = (void *)(ip + 1);
	__u8 mac[6];
	__u32 address;
	__u16 port;

	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
	address = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	port = udp->source;
	udp->check = adjust(udp->check, udp->dest, port + 1);
	udp->source = udp->dest;
	udp->dest = port + 1;
	ip->check = adjust(ip->check, ip->ttl, ip->ttl - 1);
	ip->ttl -= 1;
	return XDP_TX;
}

SEC("xdp")
int bench_lpm(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u32 address, node = 0, best = 0;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	address = bpf_ntohl(ip->daddr);
	for (int bit = 0; bit < 24; bit++) {
		const struct trie_node *at = &bench_trie[node & (TRIE_NODES - 1)];

		if (at->value)
			best = at->value;
		node = at->child[address >> 31];
		if (!node)
			break;
		address <<= 1;
	}
	return best ? XDP_TX : XDP_PASS;
}

SEC("xdp")
int bench_compute(struct bench_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	__u64 x;

	if (data + 16 > end)
		return XDP_DROP;
	x = *(__u64 *)data | 1;
	for (int i = 0; i < 256; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		x += i;
	}
	return x & 1 ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
