// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IPsec states, by the arguments of the io block.
#include "io.h"

#define __core __attribute__((preserve_access_index))

typedef union {
	__u32 a4, a6[4];
} xfrm_address_t;
struct xfrm_id {
	xfrm_address_t daddr;
	__u32 spi;
	__u8 proto;
} __core;
struct xfrm_mark {
	__u32 v, m;
} __core;
struct xfrm_state {
	struct xfrm_id id;
	struct xfrm_mark mark;
	struct {
		__u32 reqid;
		__u8 mode;
		__u16 family;
		xfrm_address_t saddr;
	} props;
} __core;

struct options {
	__s32 error, netns_id;
	__u32 mark;
	__u64 daddr[2] __attribute__((packed, aligned(4)));
	__u32 spi;
	__u8 proto;
	__u16 family;
};

extern struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *ctx, struct options *opts, __u32 size) __ksym;
extern void bpf_xdp_xfrm_state_release(struct xfrm_state *state) __ksym;

/* arg: namespace, mark, SPI, protocol, family, address. */
#define FIND(name, size)                                                                        \
	SEC("xdp")                                                                              \
	int name(struct xdp_md *ctx)                                                            \
	{                                                                                       \
		struct {                                                                        \
			struct options opts;                                                    \
			__u32 more;                                                             \
		} at = {};                                                                      \
		struct xfrm_state *state;                                                       \
                                                                                                \
		at.opts.error = 1;                                                              \
		at.opts.netns_id = io.arg[0];                                                   \
		at.opts.mark = io.arg[1];                                                       \
		at.opts.spi = __builtin_bswap32(io.arg[2]);                                     \
		at.opts.proto = io.arg[3];                                                      \
		at.opts.family = io.arg[4];                                                     \
		at.opts.daddr[0] = io.arg[5];                                                   \
		at.opts.daddr[1] = io.arg[6];                                                   \
		state = bpf_xdp_get_xfrm_state(ctx, &at.opts, size);                            \
		io.out[0] = state != NULL;                                                      \
		io.out[1] = at.opts.error;                                                      \
		if (!state)                                                                     \
			return 1;                                                               \
		io.out[2] = state->id.spi;                                                      \
		io.out[3] = state->id.proto;                                                    \
		io.out[4] = state->id.daddr.a4;                                                 \
		io.out[5] = state->id.daddr.a6[3];                                              \
		io.out[6] = state->mark.v;                                                      \
		io.out[7] = state->mark.m;                                                      \
		io.out[8] = state->props.reqid;                                                 \
		io.out[9] = state->props.mode;                                                  \
		io.out[10] = state->props.family;                                               \
		io.out[11] = state->props.saddr.a4;                                             \
		io.out[12] = state->props.saddr.a6[3];                                          \
		bpf_xdp_xfrm_state_release(state);                                              \
		return 1;                                                                       \
	}

FIND(find_state, sizeof(struct options))
FIND(find_state_short, 4)
FIND(find_state_long, sizeof(struct options) + 4)
