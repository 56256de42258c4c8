// SPDX-License-Identifier: MIT
// Sockets: look-up, fields, release.
#include "io.h"

/* struct bpf_sock_tuple as bytes. */
char tuple[64] SEC(".data.tuple") = {1};

/* Every field that may be loaded, in words. */
static __always_inline void show(struct bpf_sock *sk, int at)
{
	int i;

	io.out[at] = sk->bound_dev_if;
	io.out[at + 1] = sk->family;
	io.out[at + 2] = sk->src_ip4;
	for (i = 0; i < 4; i++) {
		io.out[at + 3 + i] = sk->family == 10 ? sk->src_ip6[i] : 0;
		io.out[at + 7 + i] = sk->family == 10 ? sk->dst_ip6[i] : 0;
	}
	io.out[at + 11] = sk->src_port;
	io.out[at + 12] = sk->dst_port;
	io.out[at + 13] = sk->dst_ip4;
	io.out[at + 14] = sk->state;
	io.out[at + 15] = *(volatile __u8 *)&sk->state;
	if (sk->family == 10)
		io.out[at + 2] = io.out[at + 13] = 0; /* what an IPv6 socket keeps there is nobody's business */
}

static __always_inline void show_full(struct bpf_sock *sk, int at)
{
	show(sk, at);
	io.out[at + 16] = sk->type;
	io.out[at + 17] = sk->protocol;
	io.out[at + 18] = sk->mark;
	io.out[at + 19] = sk->priority;
	if (sk->state != 1 || sk->protocol != 6) /* of a connection it is whatever its last packet had */
		/* of no queue, kernels differ in the upper half of the register */
		*(volatile __u32 *)&io.out[at + 20] = sk->rx_queue_mapping;
}

#define LOOK_UP(name, section, context, size) \
	SEC(section) int name(context *ctx) \
	{ \
		struct bpf_sock_tuple *key = (struct bpf_sock_tuple *)tuple; \
		struct bpf_sock *sk; \
\
		sk = bpf_sk_lookup_tcp(ctx, key, size, io.arg[0], io.arg[1]); \
		io.out[0] = sk != NULL; \
		if (sk) { \
			show_full(sk, 1); \
			bpf_sk_release(sk); \
		} \
		sk = bpf_skc_lookup_tcp(ctx, key, size, io.arg[0], io.arg[1]); \
		io.out[22] = sk != NULL; \
		if (sk) { \
			io.out[23] = sk->family; \
			io.out[24] = sk->state; \
			io.out[25] = sk->src_port; \
			bpf_sk_release(sk); \
		} \
		sk = bpf_sk_lookup_udp(ctx, key, size, io.arg[0], io.arg[1]); \
		io.out[26] = sk != NULL; \
		if (sk) { \
			show_full(sk, 27); \
			bpf_sk_release(sk); \
		} \
		return 0; \
	}

LOOK_UP(xdp_ip4, "xdp", struct xdp_md, 12)
LOOK_UP(xdp_ip6, "xdp", struct xdp_md, 36)
LOOK_UP(xdp_other, "xdp", struct xdp_md, 20)
LOOK_UP(tc_ip4, "tc", struct __sk_buff, 12)
LOOK_UP(tc_ip6, "tc", struct __sk_buff, 36)

/* Pointers made of the one that was found. */
SEC("tc") int derived(struct __sk_buff *ctx)
{
	struct bpf_sock_tuple *key = (struct bpf_sock_tuple *)tuple;
	struct bpf_sock *sk, *full, *listener;
	struct bpf_tcp_sock *tcp;

	sk = bpf_skc_lookup_tcp(ctx, key, 12, BPF_F_CURRENT_NETNS, 0);
	io.out[0] = sk != NULL;
	if (!sk)
		return 0;
	full = bpf_sk_fullsock(sk);
	io.out[1] = full != NULL;
	if (full)
		io.out[2] = full->protocol;
	tcp = bpf_tcp_sock(sk);
	io.out[3] = tcp != NULL;
	if (tcp) {
		io.out[4] = tcp->total_retrans;
		io.out[5] = tcp->bytes_received;
		io.out[6] = tcp->retrans_out;
	}
	listener = bpf_get_listener_sock(sk);
	io.out[7] = listener != NULL;
	if (listener)
		io.out[8] = listener->state;
	bpf_sk_release(sk);
	return 0;
}
