// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// CRC-32 of the first bytes of a frame, by a table of sixteen in a callback; odd sums are dropped.
#include "packet.h"

struct work {
	struct xdp_md *ctx;
	__u32 crc;
	__u32 done;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, __u32);
} sums SEC(".maps");

const volatile __u32 table[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

static long add_byte(__u32 index, struct work *work)
{
	__u8 byte;

	if (bpf_xdp_load_bytes(work->ctx, index, &byte, 1))
		return 1;
	__u32 crc = work->crc;

	crc = table[(crc ^ byte) & 15] ^ crc >> 4;
	crc = table[(crc ^ byte >> 4) & 15] ^ crc >> 4;
	work->crc = crc;
	work->done++;
	return 0;
}

SEC("xdp")
int crc32_frame(struct xdp_md *ctx)
{
	struct work work = {.ctx = ctx, .crc = ~0U};
	__u32 length = bpf_xdp_get_buff_len(ctx);

	if (bpf_loop(128, add_byte, &work, 0) < 0)
		return XDP_ABORTED;
	__u32 crc = ~work.crc;

	bpf_map_update_elem(&sums, &length, &crc, BPF_ANY);
	if (work.done < 40)
		return XDP_PASS;
	return crc & 1 ? XDP_DROP : XDP_TX;
}
