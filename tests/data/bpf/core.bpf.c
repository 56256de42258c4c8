// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Accesses of every CO-RE kind to types of the running kernel, and to some that no kernel has.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list_head___mine {
	struct list_head *next;
	struct list_head *prev;
};

struct net_device {
	unsigned int mtu;
	int ifindex;
	char name[16];
};

struct sk_buff {
	unsigned int len;
	unsigned int data_len;
	struct net_device *dev;
	unsigned char *head;
	unsigned char *data;
	unsigned char cloned : 1;
	unsigned char pkt_type : 3;
	unsigned short protocol;
	unsigned int hash;
};

struct sk_buff___gone {
	int no_such_member;
};

struct no_such_type {
	int a;
};

/* Wider here than in any kernel: the load has to be narrowed. */
struct net_device___wide {
	unsigned long mtu;
};
#pragma clang attribute pop

enum bpf_map_type___mine {
	BPF_MAP_TYPE_RINGBUF___mine = 1,
	BPF_MAP_TYPE_NEVER___mine = 2,
};

enum sk_state___none {
	NOT_A_STATE = 3,
};

typedef int (*no_such_callback_t)(int);

__u64 out[24];

SEC("raw_tp/netif_receive_skb")
int probe(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (void *)ctx->args[0];
	struct sk_buff___gone *gone = (void *)skb;

	out[0] = BPF_CORE_READ(skb, len);
	out[1] = BPF_CORE_READ(skb, dev, ifindex);
	out[2] = BPF_CORE_READ(skb, dev, name[1]);
	out[3] = BPF_CORE_READ_BITFIELD_PROBED(skb, cloned);
	out[4] = BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type);
	out[5] = bpf_core_field_exists(skb->hash);
	out[6] = bpf_core_field_exists(gone->no_such_member);
	out[7] = bpf_core_field_size(skb->dev->name);
	out[8] = bpf_core_type_exists(struct no_such_type);
	out[9] = bpf_core_type_exists(struct sk_buff);
	out[10] = bpf_core_type_size(struct sk_buff);
	out[11] = bpf_core_type_id_kernel(struct sk_buff);
	out[12] = bpf_core_type_id_local(struct sk_buff);
	out[13] = bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_RINGBUF___mine);
	out[14] = bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_NEVER___mine);
	out[15] = bpf_core_enum_value(enum bpf_map_type___mine, BPF_MAP_TYPE_RINGBUF___mine);
	out[16] = bpf_core_type_size(struct no_such_type);
	out[17] = bpf_core_field_offset(skb->protocol);
	if (bpf_core_field_exists(gone->no_such_member))
		out[18] = BPF_CORE_READ(gone, no_such_member);
	if (bpf_core_enum_value_exists(enum sk_state___none, NOT_A_STATE))
		out[19] = bpf_core_enum_value(enum sk_state___none, NOT_A_STATE);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(direct, struct sk_buff *skb)
{
	struct net_device___wide *dev = (void *)skb->dev;

	out[20] = skb->len;
	out[21] = skb->dev->ifindex;
	out[22] = dev->mtu;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
