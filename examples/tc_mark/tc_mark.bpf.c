// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Marks what comes in for UDP ports 5000 to 5009, by the last digit of the port; the kernel's tables see the mark.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int mark(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data;
    void *end = (void *)(long)skb->data_end;
    struct iphdr *ip = data + sizeof(struct ethhdr);
    struct udphdr *udp = (void *)(ip + 1);
    __u16 port;

    if ((void *)(udp + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
        return TC_ACT_OK; // short packets go unmarked
    if (ip->protocol != IPPROTO_UDP || ip->ihl != 5)
        return TC_ACT_OK;
    port = bpf_ntohs(udp->dest);
    if (port >= 5000 && port < 5010)
        skb->mark = 1 + port - 5000;
    return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
