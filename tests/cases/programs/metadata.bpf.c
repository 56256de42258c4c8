// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Writes a record of 8 to 32 bytes in front of the packet as metadata and reads it back before it decides.
#include "packet.h"

struct note {
	__u32 length;
	__u16 proto;
	__u16 words;
};

__u32 failures, notes;

SEC("xdp")
int metadata(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct ethhdr *eth = data;

	if (!FITS(eth, end))
		return XDP_ABORTED;
	__u16 proto = bpf_ntohs(eth->h_proto);
	__u32 length = end - data;
	int size = 8 + (length & 3) * 8;

	if (bpf_xdp_adjust_meta(ctx, -size)) {
		failures++;
		return XDP_DROP;
	}
	struct note *note = (void *)(long)ctx->data_meta;

	if (!FITS(note, DATA(ctx)))
		return XDP_ABORTED;
	note->length = length;
	note->proto = proto;
	note->words = size / 4;
	if (length & 4) {
		if (bpf_xdp_adjust_meta(ctx, size - 8))
			return XDP_ABORTED;
		note = (void *)(long)ctx->data_meta;
		if (!FITS(note, DATA(ctx)))
			return XDP_ABORTED;
		note->length = ctx->data - ctx->data_meta;
		notes++;
	}
	return note->length > 60 ? XDP_PASS : XDP_TX;
}
