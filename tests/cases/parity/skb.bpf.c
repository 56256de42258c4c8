// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Helpers on socket buffers, each by the arguments of the io block; the buffer's state before and after goes to out[].
#include "io.h"

/* What the verifier sees is a number from 0 to 31. */
#define BOUND(x) asm volatile("%0 &= 31" : "+r"(x))

/* Lengths and numbers that helpers change, to out[at] .. out[at + 8]. */
static __always_inline void look_skb(struct __sk_buff *skb, int at)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	io.out[at] = end - data;
	io.out[at + 1] = skb->len;
	io.out[at + 2] = skb->protocol;
	io.out[at + 3] = skb->vlan_present | (__u64)skb->vlan_tci << 32;
	io.out[at + 4] = skb->vlan_proto;
	io.out[at + 5] = skb->pkt_type;
	io.out[at + 6] = skb->tstamp;
	io.out[at + 7] = bpf_csum_level(skb, 0);
	if (data + 16 <= end)
		io.out[at + 8] = *(__u64 *)(data + 8);
}

SEC("tc")
int store_bytes(struct __sk_buff *skb)
{
	__u64 bytes[4] = {0x1122334455667788, 0x99aabbccddeeff00, 1, 2};
	__u64 size = io.arg[1];

	BOUND(size);
	if (size == 0)
		return 0;
	io.out[0] = bpf_skb_store_bytes(skb, io.arg[0], bytes, size, io.arg[2]);
	look_skb(skb, 1);
	return 0;
}

#define LOAD_BYTES(name, section)                                                        \
	SEC(section)                                                                     \
	int name(struct __sk_buff *skb)                                                  \
	{                                                                                \
		__u64 bytes[4] = {~0ULL, ~0ULL, ~0ULL, ~0ULL};                           \
		__u64 size = io.arg[1];                                                  \
                                                                                         \
		BOUND(size);                                                             \
		if (size == 0)                                                           \
			return 0;                                                        \
		io.out[0] = bpf_skb_load_bytes(skb, io.arg[0], bytes, size);             \
		for (int i = 0; i < 4; i++)                                              \
			io.out[1 + i] = bytes[i];                                        \
		io.out[5] = bpf_skb_load_bytes_relative(skb, io.arg[0], bytes, size, io.arg[2]); \
		for (int i = 0; i < 4; i++)                                              \
			io.out[6 + i] = bytes[i];                                        \
		return 0;                                                                \
	}

LOAD_BYTES(load_bytes, "tc")
LOAD_BYTES(load_bytes_filter, "socket")
LOAD_BYTES(load_bytes_cgroup, "cgroup_skb/ingress")

SEC("tc")
int l3_csum(struct __sk_buff *skb)
{
	io.out[0] = bpf_l3_csum_replace(skb, io.arg[0], io.arg[1], io.arg[2], io.arg[3]);
	return 0;
}

SEC("tc")
int l4_csum(struct __sk_buff *skb)
{
	io.out[0] = bpf_l4_csum_replace(skb, io.arg[0], io.arg[1], io.arg[2], io.arg[3]);
	return 0;
}

SEC("tc")
int csum_state(struct __sk_buff *skb)
{
	for (int i = 0; i < 8; i++)
		io.out[i] = bpf_csum_level(skb, io.arg[i]);
	io.out[8] = bpf_csum_update(skb, io.arg[0]);
	return 0;
}

SEC("tc")
int vlan(struct __sk_buff *skb)
{
	for (int i = 0; i < 5; i++) {
		__u64 what = io.arg[i];

		if (what == 0)
			io.out[i * 10] = bpf_skb_vlan_pop(skb);
		else
			io.out[i * 10] = bpf_skb_vlan_push(skb, what >> 32, what);
		look_skb(skb, i * 10 + 1);
	}
	return 0;
}

SEC("tc")
int change_proto(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_change_proto(skb, io.arg[0], io.arg[1]);
	look_skb(skb, 1);
	io.out[10] = bpf_skb_change_proto(skb, io.arg[2], 0);
	look_skb(skb, 11);
	return 0;
}

SEC("tc")
int change_type(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_change_type(skb, io.arg[0]);
	look_skb(skb, 1);
	return 0;
}

#define ROOM(name, call)                   \
	SEC("tc")                          \
	int name(struct __sk_buff *skb)    \
	{                                  \
		io.out[0] = (call);        \
		look_skb(skb, 1);          \
		io.out[10] = bpf_skb_change_tail(skb, io.arg[4], 0); \
		look_skb(skb, 11);         \
		io.out[20] = bpf_skb_vlan_push(skb, io.arg[5], 7);   \
		io.out[21] = bpf_skb_vlan_push(skb, io.arg[5], 8);   \
		look_skb(skb, 22);         \
		return 0;                  \
	}

ROOM(change_tail, bpf_skb_change_tail(skb, io.arg[0], io.arg[1]))
ROOM(change_head, bpf_skb_change_head(skb, io.arg[0], io.arg[1]))
ROOM(pull_data, bpf_skb_pull_data(skb, io.arg[0]))
ROOM(adjust_room, bpf_skb_adjust_room(skb, (int)io.arg[0], io.arg[1], io.arg[2]))

SEC("tc")
int cut_and_grow(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_change_tail(skb, io.arg[0], 0);
	io.out[1] = bpf_skb_adjust_room(skb, (int)io.arg[1], io.arg[2], 0);
	look_skb(skb, 2);
	return 0;
}

SEC("tc")
int encap_and_back(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_adjust_room(skb, (int)io.arg[0], 1, io.arg[1]);
	io.out[1] = bpf_skb_adjust_room(skb, (int)io.arg[2], 1, io.arg[3]);
	io.out[2] = bpf_skb_adjust_room(skb, (int)io.arg[4], io.arg[5], io.arg[6]);
	/* Not shorter than the transport header's place; else refused for the encapsulation. */
	io.out[3] = bpf_skb_change_tail(skb, io.arg[7], 0);
	look_skb(skb, 4);
	return 0;
}

SEC("tc")
int adjust_twice(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_adjust_room(skb, (int)io.arg[0], io.arg[1], io.arg[2]);
	look_skb(skb, 1);
	io.out[10] = bpf_skb_adjust_room(skb, (int)io.arg[3], io.arg[4], io.arg[5]);
	look_skb(skb, 11);
	return 0;
}

SEC("tc")
int ecn(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_ecn_set_ce(skb);
	return 0;
}

SEC("cgroup_skb/ingress")
int ecn_cgroup(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_ecn_set_ce(skb);
	return 1;
}

SEC("tc")
int hash(struct __sk_buff *skb)
{
	bpf_set_hash(skb, io.arg[0]);
	io.out[0] = skb->hash;
	bpf_set_hash_invalid(skb);
	io.out[1] = skb->hash;
	return 0;
}

SEC("tc")
int tstamp(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_set_tstamp(skb, io.arg[0], io.arg[1]);
	look_skb(skb, 1);
	io.out[10] = skb->tstamp_type;
	return 0;
}

SEC("tc")
int redirects(struct __sk_buff *skb)
{
	struct bpf_redir_neigh params = {};

	io.out[0] = bpf_redirect_peer(1, io.arg[0]);
	io.out[1] = bpf_redirect_neigh(1, NULL, 0, io.arg[0]);
	io.out[2] = bpf_redirect_neigh(1, &params, sizeof(params), io.arg[0]);
	return bpf_redirect(io.arg[1], io.arg[0]);
}
