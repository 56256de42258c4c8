// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Drops every fourth keepalive on its way out: TCP to port 7000 over IPv4 without options.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct counts {
    __u64 seen;
    __u64 dropped;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counts);
} keepalives SEC(".maps");

SEC("tc")
int lossy(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data;
    void *end = (void *)(long)skb->data_end;
    struct iphdr *ip = data + sizeof(struct ethhdr);
    struct tcphdr *tcp = (void *)(ip + 1);
    struct counts *count;
    __u32 key = 0;

    if ((void *)(tcp + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
        return TC_ACT_OK; // too short for a keepalive
    if (ip->protocol != IPPROTO_TCP || tcp->dest != bpf_htons(7000))
        return TC_ACT_OK;
    count = bpf_map_lookup_elem(&keepalives, &key);
    if (!count)
        return TC_ACT_OK;
    count->seen++;
    if (count->seen % 4)
        return TC_ACT_OK;
    count->dropped++;
    return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
