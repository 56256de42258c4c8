// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A count-min sketch of source addresses in four rows of a global array; heavy senders are dropped.
#include "packet.h"

#define ROWS 4
#define COLUMNS 64
#define LIMIT 20

__u32 sketch[ROWS][COLUMNS];
const volatile __u32 seeds[ROWS] = {0x12345678, 0x9abcdef1, 0x0fedcba9, 0x87654321};

SEC("xdp")
int count_min(struct xdp_md *ctx)
{
	struct iphdr *ip = plain_ipv4(DATA(ctx), DATA_END(ctx));
	__u32 least = ~0U;

	if (!ip)
		return XDP_PASS;
	for (int row = 0; row < ROWS; row++) {
		__u32 column = mix(ip->saddr, seeds[row]) % COLUMNS;
		__u32 count = ++sketch[row][column];

		if (count < least)
			least = count;
	}
	return least > LIMIT ? XDP_DROP : XDP_TX;
}
