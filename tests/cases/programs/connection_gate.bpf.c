// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A gate that only the inside opens: what leaves is put into the kernel's table of connections, what arrives is let
// through when it answers one of them.
#include "packet.h"

#define OPENED_MS 120000
#define ANSWERED_MS 3600000

struct nf_conn {
	unsigned long status;
} __attribute__((preserve_access_index));

struct ct_options {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto, dir;
	__u16 zone;
	__u8 zone_dir, reserved[3];
};

enum { DIR_ORIGINAL, DIR_REPLY };
enum { SEEN_REPLY = 1 << 1, ASSURED = 1 << 2 };

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					 struct ct_options *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_skb_ct_alloc(struct __sk_buff *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					struct ct_options *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					 struct ct_options *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn *ct) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn *ct, __u32 timeout) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *ct, __u32 timeout) __ksym;
extern int bpf_ct_change_status(struct nf_conn *ct, __u32 status) __ksym;

struct {
	__u32 opened, known, answers, strangers, echoes, errors;
} seen;

/* Whether a frame has addresses and ports of a connection. */
static __always_inline int connection_of(void *data, void *end, struct bpf_sock_tuple *tuple,
					 struct ct_options *options)
{
	struct iphdr *ip = plain_ipv4(data, end);
	struct ports *ports;

	if (!ip || (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) ||
	    ip->frag_off & bpf_htons(0x3fff))
		return 0;
	ports = (void *)(ip + 1);
	if (!FITS(ports, end))
		return 0;
	tuple->ipv4.saddr = ip->saddr;
	tuple->ipv4.daddr = ip->daddr;
	tuple->ipv4.sport = ports->source;
	tuple->ipv4.dport = ports->dest;
	options->netns_id = BPF_F_CURRENT_NETNS;
	options->l4proto = ip->protocol;
	return 1;
}

SEC("tc")
int leave(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct ct_options options = {};
	struct nf_conn *ct;

	if (!connection_of(DATA(skb), DATA_END(skb), &tuple, &options))
		return TC_ACT_OK;
	ct = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
	if (ct) {
		seen.known++;
		if (ct->status & SEEN_REPLY && bpf_ct_change_timeout(ct, ANSWERED_MS))
			seen.errors++;
		bpf_ct_release(ct);
		return TC_ACT_OK;
	}
	ct = bpf_skb_ct_alloc(skb, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
	if (!ct) {
		seen.errors++;
		return TC_ACT_SHOT;
	}
	bpf_ct_set_timeout(ct, OPENED_MS);
	ct = bpf_ct_insert_entry(ct);
	if (!ct) {
		seen.errors++;
		return TC_ACT_SHOT;
	}
	bpf_ct_release(ct);
	seen.opened++;
	return TC_ACT_OK;
}

SEC("xdp")
int arrive(struct xdp_md *ctx)
{
	struct bpf_sock_tuple tuple = {};
	struct ct_options options = {};
	struct nf_conn *ct;

	if (!connection_of(DATA(ctx), DATA_END(ctx), &tuple, &options))
		return XDP_PASS;
	ct = bpf_xdp_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
	if (!ct) {
		seen.strangers++;
		return XDP_DROP;
	}
	if (options.dir == DIR_REPLY) {
		seen.answers++;
		if (bpf_ct_change_status(ct, ct->status | SEEN_REPLY | ASSURED))
			seen.errors++;
	} else {
		seen.echoes++; /* the inside's own packet, from outside */
	}
	bpf_ct_release(ct);
	return options.dir == DIR_REPLY ? XDP_PASS : XDP_DROP;
}
