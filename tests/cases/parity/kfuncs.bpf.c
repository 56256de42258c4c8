// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Kernel functions, each by the arguments of the io block.
#include "io.h"

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *ptr, __u32 start, __u32 end) __ksym;
/* The kernel leaves the upper bits of a bool as they are, so only the lowest byte means something. */
extern int bpf_dynptr_is_null(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_is_rdonly(const struct bpf_dynptr *ptr) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *ptr, struct bpf_dynptr *clone) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern int bpf_strcmp(const char *a, const char *b) __ksym;
extern int bpf_strcasecmp(const char *a, const char *b) __ksym;
extern int bpf_strchr(const char *s, char c) __ksym;
extern int bpf_strchrnul(const char *s, char c) __ksym;
extern int bpf_strnchr(const char *s, unsigned long count, char c) __ksym;
extern int bpf_strrchr(const char *s, char c) __ksym;
extern int bpf_strlen(const char *s) __ksym;
extern int bpf_strnlen(const char *s, unsigned long count) __ksym;
extern int bpf_strspn(const char *s, const char *accept) __ksym;
extern int bpf_strcspn(const char *s, const char *reject) __ksym;
extern int bpf_strstr(const char *a, const char *b) __ksym;
extern int bpf_strnstr(const char *a, const char *b, unsigned long length) __ksym;

/* What the verifier sees is a number from 0 to 31. */
#define BOUND(x) asm volatile("%0 &= 31" : "+r"(x))

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

char memory[64] SEC(".data.memory") = "dynamic pointers point at this memory";
struct {
	char a[16], b[16];
} texts SEC(".data.texts") = {"x"};

SEC("xdp")
int iter_num(struct xdp_md *ctx)
{
	struct bpf_iter_num it;
	__u64 sum = 0, count = 0;
	int *at;

	io.out[0] = bpf_iter_num_new(&it, io.arg[0], io.arg[1]);
	while ((at = bpf_iter_num_next(&it))) {
		sum = sum * 31 + *at;
		count++;
		if (count == io.arg[2])
			break;
	}
	bpf_iter_num_destroy(&it);
	io.out[1] = sum;
	io.out[2] = count;
	return XDP_PASS;
}

#define ON_PACKET(name, section, context, from)                                             \
	SEC(section)                                                                        \
	int name(struct context *ctx)                                                       \
	{                                                                                   \
		struct bpf_dynptr ptr, clone;                                               \
		char buffer[16] = {};                                                       \
		__u64 *part, bytes[2] = {};                                                 \
                                                                                            \
		io.out[0] = from(ctx, io.arg[0], &ptr);                                     \
		io.out[1] = bpf_dynptr_size(&ptr);                                          \
		io.out[2] = bpf_dynptr_is_null(&ptr) & 0xff;                                       \
		io.out[3] = bpf_dynptr_is_rdonly(&ptr) & 0xff;                                     \
		io.out[4] = bpf_dynptr_clone(&ptr, &clone);                                 \
		io.out[5] = bpf_dynptr_adjust(&ptr, io.arg[1], io.arg[2]);                  \
		io.out[6] = bpf_dynptr_size(&ptr);                                          \
		part = bpf_dynptr_slice(&ptr, io.arg[3], buffer, 16);                       \
		if (part) {                                                                 \
			io.out[7] = part[0];                                                \
			io.out[8] = part[1];                                                \
		}                                                                           \
		io.out[9] = bpf_dynptr_read(bytes, 16, &ptr, io.arg[3], io.arg[4]);         \
		io.out[10] = bytes[0];                                                      \
		io.out[11] = bytes[1];                                                      \
		part = bpf_dynptr_slice_rdwr(&ptr, io.arg[5], buffer, 8);                   \
		if (part)                                                                   \
			*part ^= 0x0102030405060708;                                        \
		bytes[0] = 0xf1f2f3f4f5f6f7f8;                                              \
		io.out[12] = bpf_dynptr_write(&ptr, io.arg[6], bytes, 16, io.arg[7]);       \
		io.out[13] = bpf_dynptr_size(&clone);                                       \
		return 1;                                                                   \
	}

ON_PACKET(on_xdp, "xdp", xdp_md, bpf_dynptr_from_xdp)
ON_PACKET(on_frags, "xdp.frags", xdp_md, bpf_dynptr_from_xdp)
ON_PACKET(on_tc, "tc", __sk_buff, bpf_dynptr_from_skb)

SEC("cgroup_skb/ingress")
int on_cgroup(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u64 bytes[2] = {};

	io.out[0] = bpf_dynptr_from_skb(skb, io.arg[0], &ptr);
	io.out[1] = bpf_dynptr_size(&ptr);
	io.out[2] = bpf_dynptr_is_rdonly(&ptr) & 0xff;
	io.out[3] = bpf_dynptr_read(bytes, 16, &ptr, io.arg[3], io.arg[4]);
	io.out[4] = bytes[0];
	io.out[5] = bpf_dynptr_write(&ptr, io.arg[6], bytes, 16, io.arg[7]);
	return 1;
}

SEC("xdp")
int on_memory(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;
	__u64 bytes[2] = {}, *part;

	io.out[0] = bpf_dynptr_from_mem(memory, sizeof(memory), io.arg[0], &ptr);
	io.out[1] = bpf_dynptr_adjust(&ptr, io.arg[1], io.arg[2]);
	io.out[2] = bpf_dynptr_size(&ptr);
	io.out[3] = bpf_dynptr_read(bytes, 16, &ptr, io.arg[3], io.arg[4]);
	io.out[4] = bytes[0];
	io.out[5] = bytes[1];
	io.out[6] = bpf_dynptr_write(&ptr, io.arg[5], bytes, 16, io.arg[6]);
	part = bpf_dynptr_data(&ptr, io.arg[7], 8);
	if (part)
		io.out[7] = *part;
	return XDP_PASS;
}

SEC("xdp")
int on_record(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;
	__u64 bytes[2] = {1, 2}, *part;

	io.out[0] = bpf_ringbuf_reserve_dynptr(&ring, io.arg[0], io.arg[1], &ptr);
	io.out[1] = bpf_dynptr_size(&ptr);
	io.out[2] = bpf_dynptr_write(&ptr, io.arg[2], bytes, 16, 0);
	part = bpf_dynptr_data(&ptr, io.arg[3], 8);
	if (part)
		*part = 0x77;
	io.out[3] = bpf_dynptr_read(bytes, 8, &ptr, 0, 0);
	io.out[4] = bytes[0];
	if (io.arg[4])
		bpf_ringbuf_discard_dynptr(&ptr, 0);
	else
		bpf_ringbuf_submit_dynptr(&ptr, 0);
	return XDP_PASS;
}

SEC("xdp")
int sections(struct xdp_md *ctx)
{
	bpf_rcu_read_lock();
	io.out[0] = 1;
	bpf_rcu_read_unlock();
	bpf_preempt_disable();
	bpf_preempt_disable();
	io.out[1] = 2;
	bpf_preempt_enable();
	bpf_preempt_enable();
	return XDP_PASS;
}

SEC("xdp")
int strings(struct xdp_md *ctx)
{
	char c = io.arg[0];
	__u64 n = io.arg[1];

	io.out[0] = bpf_strcmp(texts.a, texts.b);
	io.out[1] = bpf_strchr(texts.a, c);
	io.out[2] = bpf_strchrnul(texts.a, c);
	io.out[3] = bpf_strnchr(texts.a, n, c);
	io.out[4] = bpf_strrchr(texts.a, c);
	io.out[5] = bpf_strlen(texts.a);
	io.out[6] = bpf_strnlen(texts.a, n);
	io.out[7] = bpf_strspn(texts.a, texts.b);
	io.out[8] = bpf_strcspn(texts.a, texts.b);
	io.out[9] = bpf_strstr(texts.a, texts.b);
	io.out[10] = bpf_strnstr(texts.a, texts.b, n);
	io.out[11] = bpf_strcasecmp(texts.a, texts.b);
	return XDP_PASS;
}
