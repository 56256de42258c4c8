// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Conntrack kernel functions, by the arguments of the io block.
#include "io.h"

struct nf_conn {
	unsigned long status;
};
struct options {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto, dir;
	__u16 zone;
	__u8 zone_dir, reserved[3];
};

extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					 struct options *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					 struct options *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_xdp_ct_alloc(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					struct options *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_skb_ct_alloc(struct __sk_buff *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					struct options *opts, __u32 opts_size) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn *ct) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn *ct, __u32 timeout) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *ct, __u32 timeout) __ksym;
extern int bpf_ct_set_status(struct nf_conn *ct, __u32 status) __ksym;
extern int bpf_ct_change_status(struct nf_conn *ct, __u32 status) __ksym;

/* struct bpf_sock_tuple and struct options as the host wants them. */
char tuple[64] SEC(".data.tuple") = {1};
struct options options SEC(".data.options") = {1};

#define LOOK_UP(name, section, context, kfunc, size, opts_size)                                 \
	SEC(section)                                                                            \
	int name(struct context *ctx)                                                           \
	{                                                                                       \
		struct nf_conn *ct;                                                             \
                                                                                                \
		ct = kfunc(ctx, (struct bpf_sock_tuple *)tuple, size, &options, opts_size);     \
		io.out[0] = ct != NULL;                                                         \
		if (ct) {                                                                       \
			io.out[1] = bpf_ct_change_status(ct, io.arg[0]);                        \
			io.out[2] = bpf_ct_change_timeout(ct, io.arg[1]);                       \
			bpf_ct_release(ct);                                                     \
		}                                                                               \
		return 1;                                                                       \
	}

LOOK_UP(look_xdp, "xdp", xdp_md, bpf_xdp_ct_lookup, 12, 16)
LOOK_UP(look_xdp_old, "xdp", xdp_md, bpf_xdp_ct_lookup, 12, 12)
LOOK_UP(look_xdp_other, "xdp", xdp_md, bpf_xdp_ct_lookup, 20, 16)
LOOK_UP(look_xdp_short, "xdp", xdp_md, bpf_xdp_ct_lookup, 12, 14)
LOOK_UP(look_tc, "tc", __sk_buff, bpf_skb_ct_lookup, 12, 16)
LOOK_UP(look_tc_ip6, "tc", __sk_buff, bpf_skb_ct_lookup, 36, 16)

/* Says whether something is there, and changes nothing. */
SEC("tc")
int only_look(struct __sk_buff *ctx)
{
	struct nf_conn *ct;

	ct = bpf_skb_ct_lookup(ctx, (struct bpf_sock_tuple *)tuple, 12, &options, 16);
	io.out[0] = ct != NULL;
	if (ct)
		bpf_ct_release(ct);
	return 1;
}

#define INSERT(name, section, context, kfunc, size, opts_size)                                  \
	SEC(section)                                                                            \
	int name(struct context *ctx)                                                           \
	{                                                                                       \
		struct nf_conn *ct;                                                             \
                                                                                                \
		ct = kfunc(ctx, (struct bpf_sock_tuple *)tuple, size, &options, opts_size);     \
		io.out[0] = ct != NULL;                                                         \
		if (!ct)                                                                        \
			return 1;                                                               \
		io.out[1] = bpf_ct_set_status(ct, io.arg[0]);                                   \
		bpf_ct_set_timeout(ct, io.arg[1]);                                              \
		ct = bpf_ct_insert_entry(ct);                                                   \
		io.out[2] = ct != NULL;                                                         \
		if (ct) {                                                                       \
			io.out[3] = bpf_ct_change_status(ct, io.arg[2]);                        \
			bpf_ct_release(ct);                                                     \
		}                                                                               \
		return 1;                                                                       \
	}

INSERT(add_xdp, "xdp", xdp_md, bpf_xdp_ct_alloc, 12, 16)
INSERT(add_xdp_old, "xdp", xdp_md, bpf_xdp_ct_alloc, 12, 12)
INSERT(add_xdp_other, "xdp", xdp_md, bpf_xdp_ct_alloc, 20, 16)
INSERT(add_tc, "tc", __sk_buff, bpf_skb_ct_alloc, 12, 16)
INSERT(add_tc_ip6, "tc", __sk_buff, bpf_skb_ct_alloc, 36, 16)
