// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Programs that send copies, put headers in front and look at the buffer's socket.
#include "io.h"

/* What the verifier sees is a number from 0 to 511. */
#define BOUND(x) asm volatile("%0 &= 511" : "+r"(x))

char headers[512] SEC(".data.headers") = {1};

SEC("tc")
int clone(struct __sk_buff *skb)
{
	void *data, *end;

	io.out[0] = bpf_clone_redirect(skb, io.arg[0], io.arg[1]);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + 14 <= end)
		*(__u8 *)(data + 13) = 0x42;
	io.out[1] = bpf_clone_redirect(skb, io.arg[2], io.arg[3]);
	return 0;
}

SEC("tc")
int clone_moved(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_change_head(skb, io.arg[0], 0);
	io.out[1] = bpf_skb_adjust_room(skb, (int)io.arg[1], 1, 0);
	io.out[2] = bpf_clone_redirect(skb, io.arg[2], io.arg[3]);
	return 0;
}

SEC("lwt_in")
int push_in(struct __sk_buff *skb)
{
	__u64 size = io.arg[1];
	__u8 bytes[24] = {};

	BOUND(size);
	if (size == 0)
		return 0;
	io.out[0] = bpf_lwt_push_encap(skb, io.arg[0], headers, size);
	io.out[1] = skb->len;
	io.out[2] = skb->protocol;
	io.out[3] = skb->hash;
	io.out[4] = bpf_skb_load_bytes(skb, 0, bytes, sizeof(bytes));
	io.out[5] = *(__u64 *)bytes;
	io.out[6] = *(__u64 *)(bytes + 8);
	io.out[7] = *(__u64 *)(bytes + 16);
	io.out[8] = bpf_lwt_push_encap(skb, io.arg[0], headers, size);
	io.out[9] = skb->len;
	return 0;
}

#define SHOW_COMMON(sk, at)                                       \
	do {                                                      \
		io.out[at] = (sk)->bound_dev_if;                  \
		io.out[at + 1] = (sk)->family;                    \
		io.out[at + 2] = (sk)->src_ip4;                   \
		io.out[at + 3] = (sk)->dst_ip4;                   \
		io.out[at + 4] = (sk)->src_port;                  \
		io.out[at + 5] = (sk)->dst_port;                  \
		io.out[at + 6] = (sk)->state;                     \
		for (int i = 0; i < 4 && (sk)->family == 10; i++) { \
			io.out[at + 7 + i] = (sk)->src_ip6[i];    \
			io.out[at + 11 + i] = (sk)->dst_ip6[i];   \
		}                                                 \
	} while (0)

#define SOCKET_OF(name, section)                                      \
	SEC(section)                                                  \
	int name(struct __sk_buff *skb)                               \
	{                                                             \
		struct bpf_sock *sk = skb->sk;                        \
		struct bpf_sock *full, *listener;                     \
		struct bpf_tcp_sock *tcp;                             \
                                                                      \
		io.out[0] = sk != NULL;                               \
		if (!sk)                                              \
			return 1;                                     \
		SHOW_COMMON(sk, 1);                                   \
		full = bpf_sk_fullsock(sk);                           \
		io.out[20] = full != NULL;                            \
		if (full) {                                           \
			io.out[21] = full->type;                      \
			io.out[22] = full->protocol;                  \
			io.out[23] = full->mark;                      \
			io.out[24] = full->priority;                  \
			io.out[25] = full->rx_queue_mapping;          \
			tcp = bpf_tcp_sock(full);                     \
			io.out[26] = tcp != NULL;                     \
			listener = bpf_get_listener_sock(full);       \
			io.out[27] = listener != NULL;                \
		}                                                     \
		return 1;                                             \
	}

SOCKET_OF(socket_tc, "tc")
SOCKET_OF(socket_cgroup, "cgroup_skb/egress")

SEC("socket")
int socket_filter(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	io.out[0] = sk != NULL;
	if (sk)
		SHOW_COMMON(sk, 1);
	return 1;
}

SEC("tc")
int assign(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk) {
		sk = bpf_sk_fullsock(sk);
		if (sk) {
			io.out[1] = bpf_sk_assign(skb, sk, io.arg[0]);
			io.out[2] = bpf_sk_assign(skb, sk, 0);
		}
	}
	return 0;
}

SEC("tc")
int hash_recalc(struct __sk_buff *skb)
{
	io.out[0] = skb->hash;
	io.out[1] = bpf_get_hash_recalc(skb);
	io.out[2] = skb->hash;
	bpf_set_hash(skb, io.arg[0]);
	io.out[3] = bpf_get_hash_recalc(skb);
	bpf_set_hash_invalid(skb);
	io.out[4] = skb->hash;
	io.out[5] = bpf_get_hash_recalc(skb);
	bpf_skb_change_proto(skb, 0xdd86, 0);
	io.out[6] = skb->hash;
	return 0;
}
