// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Samples UDP into a ring buffer: reserve and submit for short, output for long packets, discard for port 53.
#include "packet.h"

struct sample {
	__u32 length;
	__u16 port;
	__u16 number;
	__u8 head[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} samples SEC(".maps");

__u16 number;

SEC("xdp")
int sampler(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);

	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	struct ports *ports = (void *)(ip + 1);

	if (!FITS(ports, end))
		return XDP_DROP;
	__u16 port = bpf_ntohs(ports->dest);

	if (end - data > 300) {
		struct sample large = {.length = end - data, .port = port, .number = number++};

		return bpf_ringbuf_output(&samples, &large, sizeof(large), 0) ? XDP_ABORTED : XDP_TX;
	}
	struct sample *sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);

	if (!sample)
		return XDP_ABORTED;
	__builtin_memset(sample, 0, sizeof(*sample));
	sample->length = end - data;
	sample->port = port;
	sample->number = number++;
	if (bpf_xdp_load_bytes(ctx, 0, sample->head, sizeof(sample->head)) || port == 53) {
		bpf_ringbuf_discard(sample, 0);
		return XDP_DROP;
	}
	bpf_ringbuf_submit(sample, port & 1 ? BPF_RB_NO_WAKEUP : 0);
	return XDP_REDIRECT;
}
