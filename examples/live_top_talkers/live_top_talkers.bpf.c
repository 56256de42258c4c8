// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counts packets and bytes by IPv4 source address; passes everything on.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct talker {
    __be32 saddr;
};

struct talk {
    __u64 packets;
    __u64 bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct talker);
    __type(value, struct talk);
} talkers SEC(".maps");

SEC("xdp")
int listen(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data;
    void *end = (void *)(long)ctx->data_end;
    struct ethhdr *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    struct talk *talk, first = {};
    struct talker from;

    if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS; // short packets are no IPv4
    from.saddr = ip->saddr;
    talk = bpf_map_lookup_elem(&talkers, &from);
    if (!talk) {
        bpf_map_update_elem(&talkers, &from, &first, BPF_NOEXIST);
        talk = bpf_map_lookup_elem(&talkers, &from);
        if (!talk)
            return XDP_PASS; // the map is full
    }
    __sync_fetch_and_add(&talk->packets, 1);
    __sync_fetch_and_add(&talk->bytes, end - data);
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
