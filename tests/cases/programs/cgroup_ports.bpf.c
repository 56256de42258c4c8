// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A cgroup's filter: allows by destination port from a bitmap, for the packet without its Ethernet header.
#include "packet.h"

const volatile __u64 open_ports[2] = {0x0020000000000080, 0x0000000000010000}; /* 7, 53, 80 */
__u64 seen[4];

SEC("cgroup_skb/ingress")
int cgroup_ports(struct __sk_buff *skb)
{
	struct iphdr ip;
	struct ports ports;

	seen[0]++;
	if (bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), BPF_HDR_START_NET))
		return 0;
	if (ip.version != 4) {
		seen[1] += skb->protocol;
		return 1;
	}
	__u32 size = ip.ihl * 4;

	if (bpf_skb_load_bytes_relative(skb, size, &ports, sizeof(ports), BPF_HDR_START_NET))
		return 0;
	__u16 port = bpf_ntohs(ports.dest);

	seen[2] += skb->len;
	if (port > 127)
		return 1;
	seen[3] |= 1ULL << (port & 63);
	return open_ports[port >> 6 & 1] >> (port & 63) & 1;
}
