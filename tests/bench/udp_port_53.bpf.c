// SPDX-License-Identifier: MIT
// What "udp port 53" says, by hand: the measure of programs that bpf.filter makes.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

static __always_inline int is_dns(const struct udphdr *udp, const void *end) {
    if ((const void *)(udp + 1) > end)
        return 0;
    return udp->source == bpf_htons(53) || udp->dest == bpf_htons(53);
}

SEC("xdp") int udp_port_53(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data;
    void *end = (void *)(long)ctx->data_end;
    struct ethhdr *eth = data;
    if ((void *)(eth + 1) > end)
        return XDP_PASS;
    if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip6 = (void *)(eth + 1);
        if ((void *)(ip6 + 1) > end || ip6->nexthdr != IPPROTO_UDP)
            return XDP_PASS;
        return is_dns((void *)(ip6 + 1), end) ? XDP_DROP : XDP_PASS;
    }
    if (eth->h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS;
    struct iphdr *ip = (void *)(eth + 1);
    if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_UDP || (ip->frag_off & bpf_htons(0x1fff)))
        return XDP_PASS;
    return is_dns((void *)ip + ip->ihl * 4, end) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
