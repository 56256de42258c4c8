// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sends UDP port 53 to port 5353 and back, and keeps the checksum right by the difference. Short packets pass.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u16 public_port = 53;
const volatile __u16 private_port = 5353;

__u64 rewritten;

/* Adds a difference of bpf_csum_diff() to a checksum field (RFC 1624, equation 3). */
static __always_inline __u16 csum_add(__u16 check, __s64 diff)
{
	__u32 sum = (__u16)~check;

	sum += (__u32)diff & 0xffff;
	sum += (__u32)diff >> 16;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int port_rewrite(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__be32 before, after;

	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	if (ip->frag_off & bpf_htons(0x1fff))
		return XDP_PASS;

	/* Both ports lie side by side: one 32-bit word before and after. */
	__builtin_memcpy(&before, udp, sizeof(before));
	if (udp->dest == bpf_htons(public_port))
		udp->dest = bpf_htons(private_port);
	else if (udp->source == bpf_htons(public_port))
		udp->source = bpf_htons(private_port);
	else
		return XDP_PASS;
	__builtin_memcpy(&after, udp, sizeof(after));

	if (udp->check) { /* 0: the sender computed none */
		__s64 diff = bpf_csum_diff(&before, sizeof(before), &after, sizeof(after), 0);

		udp->check = csum_add(udp->check, diff);
		if (!udp->check)
			udp->check = 0xffff;
	}
	rewritten++;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
