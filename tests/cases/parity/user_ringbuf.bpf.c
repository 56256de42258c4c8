// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Samples that the host sends, drained by a callback.
#include "io.h"

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

static long sample(struct bpf_dynptr *ptr, void *context)
{
	__u64 bytes[2] = {};
	__u64 at = io.out[4] & 15;
	__u64 *word;

	io.out[8 + at] = bpf_dynptr_read(bytes, 16, ptr, 0, 0);
	io.out[24 + at] = bytes[0] ^ bytes[1];
	word = bpf_dynptr_data(ptr, 0, 8);
	if (word)
		io.out[1] = io.out[1] * 31 + *word;
	io.out[2] += bpf_dynptr_data(ptr, 0, 16) != NULL;
	return ++io.out[4] >= io.arg[1];
}

static long nested(struct bpf_dynptr *ptr, void *context)
{
	io.out[3] = bpf_user_ringbuf_drain(&samples, sample, NULL, 0);
	return 0;
}

/* arg: flags, samples to take, 1 to drain inside. */
SEC("xdp")
int drain(struct xdp_md *ctx)
{
	if (io.arg[2])
		io.out[0] = bpf_user_ringbuf_drain(&samples, nested, NULL, io.arg[0]);
	else
		io.out[0] = bpf_user_ringbuf_drain(&samples, sample, NULL, io.arg[0]);
	return XDP_PASS;
}
