// SPDX-License-Identifier: MIT
// SYN cookies: values differ by nature, what goes out is the segment size and whether they are accepted.
#include "io.h"

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

char ip[64] SEC(".data.ip") = {1};
char tcp[64] SEC(".data.tcp") = {1};

/* The size that a cookie carries, or the error. */
static __always_inline __u64 outcome(__s64 made)
{
	return made < 0 ? made : (__u64)made >> 32;
}

/* Turns the SYN into the ACK that answers a cookie. */
static __always_inline void answer(__s64 made)
{
	__u32 cookie = (__u32)made;

	*(__u32 *)(tcp + 4) = __builtin_bswap32(__builtin_bswap32(*(__u32 *)(tcp + 4)) + 1);
	*(__u32 *)(tcp + 8) = __builtin_bswap32(cookie + 1);
	tcp[13] = 16;
}

static __always_inline void hide(void)
{
	*(__u32 *)(tcp + 8) = 0;
}

#define RAW(family, type) \
	SEC("xdp") int raw_##family(struct xdp_md *ctx) \
	{ \
		__u64 size = io.arg[0] & 63; \
		__s64 made; \
\
		made = bpf_tcp_raw_gen_syncookie_##family((type *)ip, (struct tcphdr *)tcp, size); \
		io.out[0] = outcome(made); \
		answer(made); \
		io.out[1] = bpf_tcp_raw_check_syncookie_##family((type *)ip, (struct tcphdr *)tcp); \
		tcp[0]++; \
		io.out[2] = bpf_tcp_raw_check_syncookie_##family((type *)ip, (struct tcphdr *)tcp); \
		hide(); \
		return XDP_PASS; \
	}

RAW(ipv4, struct iphdr)
RAW(ipv6, struct ipv6hdr)

/* arg: sizes of the headers, port of the socket, whether the ACK of the cookie is checked. */
SEC("xdp") int listener(struct xdp_md *ctx)
{
	struct bpf_sock_tuple key = { .ipv4 = { .daddr = 0x0100007f, .dport = (__u16)io.arg[2] } };
	__u64 ip_size = io.arg[0] & 63, size = io.arg[1] & 63;
	struct bpf_sock *sk;
	__s64 made;

	if (!ip_size || !size)
		return XDP_ABORTED;
	sk = bpf_skc_lookup_tcp(ctx, &key, sizeof(key.ipv4), BPF_F_CURRENT_NETNS, 0);
	io.out[0] = sk != NULL;
	if (!sk)
		return XDP_PASS;
	io.out[1] = bpf_tcp_check_syncookie(sk, ip, ip_size, (struct tcphdr *)tcp, size);
	made = bpf_tcp_gen_syncookie(sk, ip, ip_size, (struct tcphdr *)tcp, size);
	io.out[2] = outcome(made);
	if (io.arg[3] && made >= 0) {
		answer(made);
		io.out[3] = bpf_tcp_check_syncookie(sk, ip, ip_size, (struct tcphdr *)tcp, size);
		tcp[0]++;
		io.out[4] = bpf_tcp_check_syncookie(sk, ip, ip_size, (struct tcphdr *)tcp, size);
		hide();
	}
	bpf_sk_release(sk);
	return XDP_PASS;
}
