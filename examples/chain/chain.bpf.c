// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Three programs on one interface that count what they see: in front of the stack (XDP), on the way in and on the way out.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct counts {
    __u64 xdp;
    __u64 ingress;
    __u64 egress;
    __u64 dropped;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counts);
} seen SEC(".maps");

static struct counts *counters(void)
{
    __u32 key = 0;
    return bpf_map_lookup_elem(&seen, &key);
}

SEC("xdp")
int front(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data;
    void *end = (void *)(long)ctx->data_end;
    struct ethhdr *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    struct counts *count = counters();

    if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || !count)
        return XDP_PASS;
    __sync_fetch_and_add(&count->xdp, 1);
    if (ip->tos == 0xb8) { // expedited forwarding is not for us
        __sync_fetch_and_add(&count->dropped, 1);
        return XDP_DROP;
    }
    return XDP_PASS;
}

SEC("tc")
int inward(struct __sk_buff *skb)
{
    struct counts *count = counters();

    if (count && skb->protocol == bpf_htons(ETH_P_IP)) {
        skb->mark = 7;
        __sync_fetch_and_add(&count->ingress, 1);
    }
    return TC_ACT_OK;
}

SEC("tc")
int outward(struct __sk_buff *skb)
{
    struct counts *count = counters();

    if (count && skb->protocol == bpf_htons(ETH_P_IP))
        __sync_fetch_and_add(&count->egress, 1);
    return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
