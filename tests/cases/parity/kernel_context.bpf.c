// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is behind the context, read by the kernel's own structs.
#include "io.h"

#define __core __attribute__((preserve_access_index))

struct net {
	__u64 net_cookie;
} __core;
typedef struct {
	struct net *net;
} possible_net_t;
struct net_device {
	int ifindex;
	unsigned int mtu;
	char name[16];
	possible_net_t nd_net;
} __core;
struct xdp_rxq_info {
	struct net_device *dev;
	__u32 queue_index;
} __core;
struct xdp_txq_info {
	struct net_device *dev;
} __core;
struct xdp_buff {
	void *data, *data_end, *data_meta, *data_hard_start;
	struct xdp_rxq_info *rxq;
	struct xdp_txq_info *txq;
	__u32 frame_sz, flags;
} __core;
struct sk_buff {
	struct sk_buff *next, *prev;
	struct net_device *dev;
	__s64 tstamp;
	unsigned int len, data_len;
	__u16 mac_len, queue_mapping, tc_index;
	__u32 priority;
	int skb_iif;
	__u32 hash, mark;
	unsigned int tail, end, truesize;
	__u16 vlan_proto, vlan_tci, protocol, transport_header, network_header, mac_header;
	unsigned char *head, *data;
} __core;
struct skb_shared_info {
	__u8 meta_len, nr_frags;
	unsigned short gso_size, gso_segs;
	struct sk_buff *frag_list;
} __core;

extern void *bpf_cast_to_kern_ctx(void *context) __ksym;
extern void *bpf_rdonly_cast(void *object, __u32 type) __ksym;

#define kernel_type(type) __builtin_btf_type_id(*(type *)0, 1)

static __always_inline void device(struct net_device *dev, int at)
{
	io.out[at] = dev->ifindex;
	io.out[at + 1] = dev->mtu;
	__builtin_memcpy(&io.out[at + 2], dev->name, 16);
	io.out[at + 4] = dev->nd_net.net->net_cookie;
}

SEC("xdp")
int of_xdp(struct xdp_md *ctx)
{
	struct xdp_buff *xdp = bpf_cast_to_kern_ctx(ctx);
	struct xdp_buff *again = bpf_rdonly_cast(xdp, kernel_type(struct xdp_buff));

	io.out[0] = xdp->data_end - xdp->data;
	io.out[1] = xdp->data - xdp->data_meta;
	io.out[2] = xdp->data - xdp->data_hard_start;
	io.out[3] = xdp->frame_sz;
	io.out[4] = xdp->flags;
	io.out[5] = xdp->txq == NULL;
	io.out[6] = xdp->rxq->queue_index;
	io.out[7] = again->frame_sz;
	io.out[8] = again == xdp;
	io.out[9] = xdp->rxq == again->rxq && xdp->rxq->dev == again->rxq->dev;
	device(xdp->rxq->dev, 10);
	if (!bpf_xdp_adjust_head(ctx, 4))
		io.out[16] = xdp->data - xdp->data_hard_start;
	return XDP_PASS;
}

SEC("tc")
int of_skb(struct __sk_buff *ctx)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
	struct sk_buff *again = bpf_rdonly_cast(skb, kernel_type(struct sk_buff));

	ctx->mark = io.arg[0];
	ctx->priority = io.arg[1];
	ctx->queue_mapping = io.arg[2];
	ctx->tc_index = io.arg[3];
	if (io.arg[4])
		bpf_skb_vlan_push(ctx, __builtin_bswap16(0x88a8), io.arg[4]);
	if (io.arg[6])
		bpf_skb_vlan_push(ctx, __builtin_bswap16(0x8100), io.arg[6]);
	bpf_set_hash(ctx, io.arg[5]);
	io.out[0] = skb->len;
	io.out[1] = skb->data_len;
	io.out[2] = skb->mac_len;
	io.out[3] = skb->queue_mapping;
	io.out[4] = skb->priority;
	io.out[5] = skb->skb_iif;
	io.out[6] = skb->hash;
	io.out[7] = skb->mark;
	io.out[8] = skb->tc_index;
	io.out[9] = skb->vlan_proto;
	io.out[10] = skb->vlan_tci;
	io.out[11] = skb->protocol;
	io.out[12] = skb->data - skb->head;
	io.out[13] = skb->tail;
	io.out[14] = skb->mac_header;
	io.out[15] = skb->network_header;
	io.out[16] = skb->transport_header;
	io.out[17] = skb->tstamp;
	io.out[18] = skb->next == NULL && skb->prev == NULL;
	io.out[19] = again->len;
	device(skb->dev, 20);
	return 0;
}

SEC("tc")
int of_shared_info(struct __sk_buff *ctx)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
	struct skb_shared_info *info =
		bpf_rdonly_cast(skb->head + skb->end, kernel_type(struct skb_shared_info));

	io.out[0] = info->nr_frags;
	io.out[1] = info->gso_size;
	io.out[2] = info->gso_segs;
	io.out[3] = info->frag_list == NULL;
	io.out[4] = info->meta_len;
	return 0;
}

/* A field that no run knows, and the end of the buffer for the other side's world. */
SEC("tc")
int of_kernel(struct __sk_buff *ctx)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);

	io.out[0] = skb->end;
	io.out[1] = skb->truesize;
	return 0;
}
