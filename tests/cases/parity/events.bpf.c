// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Records to a perf event array, driven by the host.
#include <linux/pkt_cls.h>

#include "io.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

__attribute__((section(".data.record"))) __u8 record[4096];

/* arg: flags, bytes, times. */
#define EMIT(ctx) \
	do { \
		__u64 size = io.arg[1], times = io.arg[2]; \
		int i; \
\
		if (size > sizeof(record)) \
			break; \
		for (i = 0; i < 200 && i < times; i++) { \
			record[0] = i; \
			io.out[0] = bpf_perf_event_output(ctx, &events, io.arg[0], record, size); \
			io.out[1] += io.out[0] == 0; \
		} \
	} while (0)

SEC("xdp")
int emit(struct xdp_md *ctx)
{
	EMIT(ctx);
	return XDP_PASS;
}

SEC("tc")
int emit_skb(struct __sk_buff *ctx)
{
	EMIT(ctx);
	return TC_ACT_OK;
}
