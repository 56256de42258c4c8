// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Conntrack kernel functions, by the arguments of the io block.
#include "io.h"

#define __core __attribute__((preserve_access_index))

union nf_inet_addr {
	__u32 all[4];
} __core;
struct nf_conntrack_man {
	union nf_inet_addr u3;
	union {
		__u16 all;
	} u;
	__u16 l3num;
} __core;
struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__u16 all;
		} u;
		__u8 protonum;
		__u8 dir;
	} dst;
} __core;
struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
} __core;
struct nf_conntrack_zone {
	__u16 id;
	__u8 flags, dir;
} __core;
struct nf_conn {
	unsigned long status;
	__u32 timeout, mark;
	struct nf_conntrack_zone zone;
	struct nf_conntrack_tuple_hash tuplehash[2];
} __core;
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
enum nf_nat_manip_type { OF_SOURCE, OF_DESTINATION };
extern int bpf_ct_set_nat_info(struct nf_conn *ct, union nf_inet_addr *addr, int port,
			       enum nf_nat_manip_type manip) __ksym;

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

/* One tuple, to out[at] and the six behind it. */
#define SHOW_TUPLE(ct, way, at)                                                                 \
	do {                                                                                    \
		io.out[at] = (__u64)ct->tuplehash[way].tuple.src.u3.all[0] << 32 |              \
			     ct->tuplehash[way].tuple.src.u3.all[3];                            \
		io.out[at + 1] = (__u64)ct->tuplehash[way].tuple.dst.u3.all[0] << 32 |          \
				 ct->tuplehash[way].tuple.dst.u3.all[3];                        \
		io.out[at + 2] = ct->tuplehash[way].tuple.src.u.all;                            \
		io.out[at + 3] = ct->tuplehash[way].tuple.dst.u.all;                            \
		io.out[at + 4] = ct->tuplehash[way].tuple.src.l3num;                            \
		io.out[at + 5] = ct->tuplehash[way].tuple.dst.protonum;                         \
		io.out[at + 6] = ct->tuplehash[way].tuple.dst.dir;                              \
	} while (0)

/* All that a connection shows, to out[at] and the 20 behind it. */
static __always_inline void show(struct nf_conn *ct, int at, int inserted)
{
	io.out[at] = ct->status;
	io.out[at + 1] = ct->mark;
	io.out[at + 2] = ct->zone.id;
	io.out[at + 3] = ct->zone.dir;
	/* In units of 16 s, rounded: the kernel's clock goes on while the emulator's stands still. */
	io.out[at + 4] = inserted ? ((__u32)(ct->timeout - (__u32)bpf_jiffies64()) + 2000) / 4000 : ct->timeout;
	SHOW_TUPLE(ct, 0, at + 5);
	SHOW_TUPLE(ct, 1, at + 13);
}

union nf_inet_addr addresses[2] SEC(".data.addresses") = {{.all = {1}}};

/* arg: mark, which ends to translate (bit 0 source, 1 destination), port of the source, of the destination,
 * timeout in ms.
 */
#define TRANSLATE(name, section, context, kfunc, size)                                          \
	SEC(section)                                                                            \
	int name(struct context *ctx)                                                           \
	{                                                                                       \
		union nf_inet_addr address;                                                     \
		struct nf_conn *ct;                                                             \
                                                                                                \
		ct = kfunc(ctx, (struct bpf_sock_tuple *)tuple, size, &options, 16);            \
		io.out[0] = ct != NULL;                                                         \
		if (!ct)                                                                        \
			return 1;                                                               \
		ct->mark = io.arg[0];                                                           \
		bpf_ct_set_timeout(ct, io.arg[4]);                                              \
		if (io.arg[1] & 1) {                                                            \
			address = addresses[0];                                                 \
			io.out[1] = bpf_ct_set_nat_info(ct, &address, io.arg[2], OF_SOURCE);    \
		}                                                                               \
		if (io.arg[1] & 2) {                                                            \
			address = addresses[1];                                                 \
			io.out[2] = bpf_ct_set_nat_info(ct, &address, io.arg[3], OF_DESTINATION); \
		}                                                                               \
		show(ct, 8, 0);                                                                 \
		ct = bpf_ct_insert_entry(ct);                                                   \
		io.out[3] = ct != NULL;                                                         \
		if (ct) {                                                                       \
			show(ct, 32, 1);                                                        \
			bpf_ct_release(ct);                                                     \
		}                                                                               \
		return 1;                                                                       \
	}

TRANSLATE(translate_xdp, "xdp", xdp_md, bpf_xdp_ct_alloc, 12)
TRANSLATE(translate_tc, "tc", __sk_buff, bpf_skb_ct_alloc, 12)
TRANSLATE(translate_tc_ip6, "tc", __sk_buff, bpf_skb_ct_alloc, 36)

/* arg: new mark. */
#define SHOW(name, section, context, kfunc, size)                                               \
	SEC(section)                                                                            \
	int name(struct context *ctx)                                                           \
	{                                                                                       \
		struct nf_conn *ct;                                                             \
                                                                                                \
		ct = kfunc(ctx, (struct bpf_sock_tuple *)tuple, size, &options, 16);            \
		io.out[0] = ct != NULL;                                                         \
		if (ct) {                                                                       \
			show(ct, 8, 1);                                                         \
			ct->mark = io.arg[0];                                                   \
			show(ct, 32, 1);                                                        \
			bpf_ct_release(ct);                                                     \
		}                                                                               \
		return 1;                                                                       \
	}

SHOW(show_xdp, "xdp", xdp_md, bpf_xdp_ct_lookup, 12)
SHOW(show_tc, "tc", __sk_buff, bpf_skb_ct_lookup, 12)
SHOW(show_tc_ip6, "tc", __sk_buff, bpf_skb_ct_lookup, 36)
