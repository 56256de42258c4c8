// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Answers SYN with a cookie of its own hash in the sequence number and lets through the ACKs that return it.
#include "packet.h"

const volatile __u32 secret[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
struct {
	__u64 sent, good, bad;
} counts;

static __always_inline __u32 cookie(__be32 a, __be32 b, __u32 ports, __u32 sequence)
{
	__u32 hash = mix(a ^ secret[0], b ^ secret[1]);

	hash = mix(hash ^ secret[2], ports);
	return mix(hash ^ secret[3], sequence);
}

static __always_inline __u16 tcp_check(const struct iphdr *ip, const struct tcphdr *tcp)
{
	const __u16 *word = (const void *)tcp;
	__u32 sum = (ip->saddr & 0xffff) + (ip->saddr >> 16) + (ip->daddr & 0xffff) +
		    (ip->daddr >> 16) + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*tcp));

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	return ~fold(sum);
}

SEC("xdp")
int syn_cookie(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);

	if (!ip || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	struct tcphdr *tcp = (void *)(ip + 1);

	if (!FITS(tcp, end))
		return XDP_DROP;
	__u32 ports = *(__u32 *)tcp;

	if (tcp->ack && !tcp->syn) {
		__u32 want = cookie(ip->saddr, ip->daddr, ports, bpf_ntohl(tcp->seq) - 1);

		if (bpf_ntohl(tcp->ack_seq) - 1 == want) {
			counts.good++;
			return XDP_PASS;
		}
		counts.bad++;
		return XDP_DROP;
	}
	if (!tcp->syn)
		return XDP_DROP;
	__u32 sequence = bpf_ntohl(tcp->seq);
	__u32 mine = cookie(ip->saddr, ip->daddr, ports, sequence);
	int surplus = (int)(end - data) - (int)(sizeof(struct ethhdr) + sizeof(*ip) + sizeof(*tcp));

	if (surplus > 0 && bpf_xdp_adjust_tail(ctx, -surplus))
		return XDP_ABORTED;
	data = DATA(ctx);
	end = DATA_END(ctx);
	ip = data + sizeof(struct ethhdr);
	tcp = (void *)(ip + 1);
	if (!FITS(tcp, end))
		return XDP_ABORTED;
	swap_mac(data);
	__be32 address = ip->saddr;

	ip->saddr = ip->daddr;
	ip->daddr = address;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*tcp));
	ip->ttl = 64;
	ip->check = 0;
	ip->check = ipv4_check(ip);
	__be16 port = tcp->source;

	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->ack_seq = bpf_htonl(sequence + 1);
	tcp->seq = bpf_htonl(mine);
	tcp->doff = 5;
	tcp->ack = 1;
	tcp->window = 0;
	tcp->check = 0;
	tcp->check = tcp_check(ip, tcp);
	counts.sent++;
	return XDP_TX;
}
