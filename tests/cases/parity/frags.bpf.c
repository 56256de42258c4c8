// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Multi-buffer XDP: pulling fragments into the linear part, moving ends around that, views and copies across.
#include "io.h"

extern int bpf_xdp_pull_data(struct xdp_md *xdp, __u32 len) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_skb_meta(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_is_null(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_is_rdonly(const struct bpf_dynptr *ptr) __ksym;

/* Pull, move an end, pull again, move the tail again. */
#define PULL(name, section)                                                \
	SEC(section)                                                       \
	int name(struct xdp_md *ctx)                                       \
	{                                                                  \
		io.out[0] = bpf_xdp_pull_data(ctx, io.arg[0]);             \
		look(ctx, 1);                                              \
		io.out[4] = bpf_xdp_get_buff_len(ctx);                     \
		io.out[5] = bpf_xdp_adjust_tail(ctx, (int)io.arg[1]);      \
		io.out[6] = bpf_xdp_adjust_head(ctx, (int)io.arg[2]);      \
		look(ctx, 7);                                              \
		io.out[10] = bpf_xdp_pull_data(ctx, io.arg[3]);            \
		look(ctx, 11);                                             \
		io.out[14] = bpf_xdp_adjust_tail(ctx, (int)io.arg[4]);     \
		io.out[15] = bpf_xdp_get_buff_len(ctx);                    \
		io.out[16] = bpf_xdp_adjust_meta(ctx, -8);                 \
		look(ctx, 17);                                             \
		return XDP_PASS;                                           \
	}

PULL(pull, "xdp.frags")
PULL(pull_plain, "xdp")

/* Writes through a view, then a copy of another place. */
SEC("xdp.frags")
int views(struct xdp_md *ctx)
{
	__u64 bytes[2] = {}, buffer[2] = {}, *part;
	struct bpf_dynptr ptr;

	io.out[0] = bpf_xdp_pull_data(ctx, io.arg[0]);
	io.out[1] = bpf_dynptr_from_xdp(ctx, 0, &ptr);
	part = bpf_dynptr_slice_rdwr(&ptr, io.arg[1], buffer, 16);
	io.out[2] = part != NULL;
	if (part) {
		io.out[3] = part[0];
		part[0] ^= 0x0102030405060708;
		part[1] = 0x1112131415161718;
	}
	io.out[4] = buffer[0];
	part = bpf_dynptr_slice(&ptr, io.arg[2], NULL, 16);
	io.out[5] = part != NULL;
	if (part)
		io.out[6] = part[1];
	io.out[7] = bpf_dynptr_read(bytes, 16, &ptr, io.arg[2], 0);
	io.out[8] = bytes[1];
	io.out[9] = bpf_xdp_load_bytes(ctx, io.arg[2], bytes, 16);
	io.out[10] = bytes[0];
	io.out[11] = bpf_xdp_store_bytes(ctx, io.arg[3], bytes, 16);
	bytes[0] = 0xa1a2a3a4a5a6a7a8;
	io.out[12] = bpf_dynptr_write(&ptr, io.arg[4], bytes, 16, 0);
	return XDP_TX;
}

SEC("tc")
int meta(struct __sk_buff *skb)
{
	__u64 bytes[2] = {~0ULL, ~0ULL}, *part;
	struct bpf_dynptr ptr;

	io.out[0] = bpf_dynptr_from_skb_meta(skb, io.arg[0], &ptr);
	io.out[1] = bpf_dynptr_size(&ptr);
	io.out[2] = bpf_dynptr_is_null(&ptr) & 0xff;
	io.out[3] = bpf_dynptr_is_rdonly(&ptr) & 0xff;
	io.out[4] = bpf_dynptr_read(bytes, 8, &ptr, io.arg[1], 0);
	io.out[5] = bytes[0];
	io.out[6] = bpf_dynptr_write(&ptr, io.arg[1], bytes, 8, io.arg[2]);
	part = bpf_dynptr_slice(&ptr, io.arg[1], NULL, 8);
	io.out[7] = part != NULL;
	part = bpf_dynptr_slice_rdwr(&ptr, io.arg[1], bytes, 8);
	io.out[8] = part != NULL;
	return 0;
}
