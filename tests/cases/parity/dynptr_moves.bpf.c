// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Copies between dynptrs of all kinds, and fills. arg[0] names the sides, the others places and sizes.
#include "io.h"

extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *ptr, __u32 start, __u32 end) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *to, __u32 to_offset, struct bpf_dynptr *from, __u32 from_offset,
			   __u32 size) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *ptr, __u32 offset, __u32 size, __u8 value) __ksym;

#define SIZE 1400

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

char memory[SIZE] SEC(".data.memory") = "numbered by the test";
char record_bytes[SIZE] SEC(".data.record") = "what the record held at the end";

#define COPY(to, from) (io.out[0] = bpf_dynptr_copy(&to, io.arg[1], &from, io.arg[2], io.arg[3]))
#define FILL(to) (io.out[0] = bpf_dynptr_memset(&to, io.arg[1], io.arg[3], io.arg[2]))
#define COPY_TO(to)                             \
	do {                                    \
		switch (io.arg[0] / 4) {        \
		case 0:                         \
			COPY(to, packet);       \
			break;                  \
		case 1:                         \
			COPY(to, values);       \
			break;                  \
		case 2:                         \
			COPY(to, record);       \
			break;                  \
		default:                        \
			COPY(to, none);         \
		}                               \
	} while (0)
#define EACH(verb)                              \
	do {                                    \
		switch (io.arg[0] & 3) {        \
		case 0:                         \
			verb(packet);           \
			break;                  \
		case 1:                         \
			verb(values);           \
			break;                  \
		case 2:                         \
			verb(record);           \
			break;                  \
		default:                        \
			verb(none);             \
		}                               \
	} while (0)

/* arg[4] bytes are left out at the packet's view's start, and what is behind arg[5]. */
#define MOVES(name, section, context, view, verb)                                           \
	SEC(section)                                                                        \
	int name(struct context *ctx)                                                       \
	{                                                                                   \
		struct bpf_dynptr packet, values, record, none;                             \
		int i;                                                                      \
                                                                                            \
		view(ctx, 0, &packet);                                                      \
		io.out[1] = bpf_dynptr_adjust(&packet, io.arg[4], io.arg[5]);               \
		bpf_dynptr_from_mem(memory, SIZE, 0, &values);                              \
		bpf_dynptr_from_mem(memory, SIZE, 1, &none);                                \
		bpf_ringbuf_reserve_dynptr(&ring, SIZE, 0, &record);                        \
		for (i = 0; i < SIZE / 100; i++)                                            \
			bpf_dynptr_write(&record, i * 100, memory + 1300 - i * 100, 100, 0); \
		EACH(verb);                                                                 \
		bpf_dynptr_read(record_bytes, SIZE, &record, 0, 0);                         \
		bpf_ringbuf_discard_dynptr(&record, 0);                                     \
		return 1;                                                                   \
	}

MOVES(copy_on_xdp, "xdp", xdp_md, bpf_dynptr_from_xdp, COPY_TO)
MOVES(copy_on_frags, "xdp.frags", xdp_md, bpf_dynptr_from_xdp, COPY_TO)
MOVES(copy_on_tc, "tc", __sk_buff, bpf_dynptr_from_skb, COPY_TO)
MOVES(copy_on_cgroup, "cgroup_skb/ingress", __sk_buff, bpf_dynptr_from_skb, COPY_TO)
MOVES(fill_on_xdp, "xdp", xdp_md, bpf_dynptr_from_xdp, FILL)
MOVES(fill_on_frags, "xdp.frags", xdp_md, bpf_dynptr_from_xdp, FILL)
MOVES(fill_on_tc, "tc", __sk_buff, bpf_dynptr_from_skb, FILL)
MOVES(fill_on_cgroup, "cgroup_skb/ingress", __sk_buff, bpf_dynptr_from_skb, FILL)

/* A view made before the packet was cut, and packet pointers across a copy. */
SEC("tc")
int cut_and_copy(struct __sk_buff *skb)
{
	struct bpf_dynptr packet, values;
	void *data, *end;

	bpf_dynptr_from_mem(memory, SIZE, 0, &values);
	bpf_dynptr_from_skb(skb, 0, &packet);
	io.out[0] = bpf_skb_change_tail(skb, io.arg[0], 0);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	io.out[1] = bpf_dynptr_copy(&packet, io.arg[1], &values, 0, io.arg[2]);
	io.out[2] = bpf_dynptr_copy(&values, 0, &packet, io.arg[1], io.arg[2]);
	io.out[3] = bpf_dynptr_memset(&packet, io.arg[1], io.arg[2], 0x5a);
	if (data + 16 <= end)
		io.out[4] = *(__u64 *)(data + 8);
	return 1;
}
