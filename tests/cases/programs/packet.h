/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs of this folder share: headers at the start of a frame, checksum arithmetic, hashes. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

#define DATA(ctx) ((void *)(long)(ctx)->data)
#define DATA_END(ctx) ((void *)(long)(ctx)->data_end)
#define FITS(pointer, end) ((void *)((pointer) + 1) <= (void *)(end))

struct vlan_tag {
	__be16 tci;
	__be16 proto;
};

struct arp_ipv4 {
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_size;
	__u8 protocol_size;
	__be16 op;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender_ip[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target_ip[4];
} __attribute__((packed));

/* The kernel's icmp.h and if_arp.h need the C library's headers, which BPF has not. */
struct icmp_echo {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be16 id;
	__be16 sequence;
};

enum { ICMP_ECHOREPLY = 0, ICMP_DEST_UNREACH = 3, ICMP_ECHO = 8 };
enum { ARPOP_REQUEST = 1, ARPOP_REPLY = 2 };

struct ports {
	__be16 source;
	__be16 dest;
};

/* The IPv4 header of a frame without tags and options, or NULL. */
static __always_inline struct iphdr *plain_ipv4(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);

	if (!FITS(ip, end) || eth->h_proto != bpf_htons(ETH_P_IP))
		return NULL;
	return ip->version == 4 && ip->ihl == 5 ? ip : NULL;
}

/* The IPv6 header of a frame without tags, or NULL. */
static __always_inline struct ipv6hdr *plain_ipv6(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = data + sizeof(*eth);

	if (!FITS(ip, end) || eth->h_proto != bpf_htons(ETH_P_IPV6))
		return NULL;
	return ip;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* RFC 1624, equation 3, for a field of 16 bits. */
static __always_inline void replace16(__u16 *check, __u16 from, __u16 to)
{
	*check = ~fold((__u16)~*check + (__u16)~from + to);
}

static __always_inline void replace32(__u16 *check, __u32 from, __u32 to)
{
	replace16(check, from, to);
	replace16(check, from >> 16, to >> 16);
}

/* Header checksum of an IPv4 header without options. */
static __always_inline __u16 ipv4_check(const struct iphdr *ip)
{
	const __u16 *word = (const void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	return ~fold(sum);
}

static __always_inline void swap_mac(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
}

/* A multiplicative mix of two words. */
static __always_inline __u32 mix(__u32 a, __u32 b)
{
	a = (a ^ b) * 0x9e3779b1;
	a ^= a >> 15;
	a *= 0x85ebca77;
	return a ^ (a >> 13);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
