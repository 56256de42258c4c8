// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Ring buffer: reserve, submit, discard, output, query, full ring.
#include "io.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

char payload[4096] SEC(".data.payload") = {1};

static __always_inline void query(int at)
{
	io.out[at] = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	io.out[at + 1] = bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE);
	io.out[at + 2] = bpf_ringbuf_query(&ring, BPF_RB_CONS_POS);
	io.out[at + 3] = bpf_ringbuf_query(&ring, BPF_RB_PROD_POS);
	io.out[at + 4] = bpf_ringbuf_query(&ring, 4);
}

SEC("xdp")
int output(struct xdp_md *ctx)
{
	io.out[0] = bpf_ringbuf_output(&ring, payload, io.arg[0] & 4095, io.arg[1]);
	query(1);
	return XDP_PASS;
}

#define RESERVE(number, size) \
	case number: { \
		__u8 *record = bpf_ringbuf_reserve(&ring, size, 0); \
		io.out[0] = record != NULL; \
		if (!record) \
			break; \
		query(1); \
		__builtin_memset(record, 0, size < 64 ? size : 64); \
		record[0] = number + 1; \
		record[size - 1] = 0x7f; \
		if (io.arg[1]) \
			bpf_ringbuf_discard(record, io.arg[2]); \
		else \
			bpf_ringbuf_submit(record, io.arg[2]); \
		query(6); \
		break; \
	}

SEC("xdp")
int reserve(struct xdp_md *ctx)
{
	switch (io.arg[0]) {
	RESERVE(0, 1)
	RESERVE(1, 8)
	RESERVE(2, 9)
	RESERVE(3, 64)
	}
	return XDP_PASS;
}

/* Sizes that hold no data are reserved and given back without being written: leftovers are not compared. */
#define TRY(number, size) \
	case number: { \
		__u8 *record = bpf_ringbuf_reserve(&ring, size, io.arg[2]); \
		io.out[0] = record != NULL; \
		if (record) { \
			query(1); \
			bpf_ringbuf_discard(record, 0); \
		} \
		query(6); \
		break; \
	}

SEC("xdp")
int try_reserve(struct xdp_md *ctx)
{
	switch (io.arg[0]) {
	TRY(0, 2048)
	TRY(1, 4079)
	TRY(2, 4080)
	TRY(3, 4087)
	TRY(4, 4088)
	TRY(5, 4089)
	TRY(6, 4096)
	TRY(7, 1 << 20)
	TRY(8, 0x3fffffff)
	TRY(9, 0x40000000)
	}
	return XDP_PASS;
}

/* Two open records, ended in the other order. */
SEC("xdp")
int two(struct xdp_md *ctx)
{
	__u64 *first = bpf_ringbuf_reserve(&ring, 8, 0);
	__u64 *second;

	if (!first)
		return XDP_ABORTED;
	second = bpf_ringbuf_reserve(&ring, 16, 0);
	if (!second) {
		bpf_ringbuf_discard(first, 0);
		return XDP_ABORTED;
	}
	first[0] = 1;
	second[0] = 2;
	second[1] = 3;
	query(0);
	bpf_ringbuf_submit(second, 0);
	query(5);
	if (io.arg[0])
		bpf_ringbuf_discard(first, 0);
	else
		bpf_ringbuf_submit(first, 0);
	query(10);
	return XDP_PASS;
}
